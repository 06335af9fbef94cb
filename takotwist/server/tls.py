"""Certificate of the server: the operator's, or one of a development CA.

Rule: either is watched for as long as the server runs, so that a renewed one is
shown without a restart and one that was not renewed is told of in time.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from twisted.logger import Logger

from takotwist.server.config import Config
from takotwist.tls.certificate import utc
from takotwist.tls.context import ServerTls
from takotwist.tls.development_ca import (
    DevelopmentFiles,
    ensure_development_certificate,
)
from takotwist.tls.watch import CertificateWatch

log = Logger()


def development_certificate(config: Config, now: datetime) -> DevelopmentFiles:
    """The certificate of a development CA, made where it is missing.

    :raises ConfigError: it cannot be made.
    """
    tls = config.tls
    folder = config.state_dir / "tls"
    return ensure_development_certificate(folder, tls.hosts, now, tls.development_ca)


def tako_command() -> str:
    """The command line of the `tako` that belongs to this program: it may be in no PATH."""
    beside, found = Path(sys.executable).with_name("tako"), shutil.which("tako")
    if not beside.exists() or (found and os.path.samefile(found, beside)):
        return "tako"
    return str(beside)


def watched_tls(
    config: Config, reactor: Any, wall: Callable[[], float]
) -> tuple[ServerTls, CertificateWatch] | None:
    """TLS as configured and the service that watches its certificate; `None` without TLS.

    :param wall: unix time in seconds.
    :raises ConfigError: the certificate cannot be used.
    """
    tls = config.tls
    if not tls.listen:
        return None
    renew: Callable[[datetime], object] | None = None
    if tls.certificate is not None and tls.key is not None:
        server_tls = ServerTls(tls.certificate, tls.key, tls.profile)
    else:

        def renew(now: datetime) -> DevelopmentFiles:
            return development_certificate(config, now)

        files = renew(utc(wall()))
        server_tls = ServerTls(files.certificate, files.key, tls.profile)
        log.info(
            "TLS by the development CA in {authority}; `{tako} trust` says how to trust it",
            authority=str(files.authority),
            tako=tako_command(),
        )
    return server_tls, CertificateWatch(server_tls, reactor, renew, wall=wall)
