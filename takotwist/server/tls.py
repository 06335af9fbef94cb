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
from typing import TYPE_CHECKING

import attrs
from twisted.application.service import MultiService
from twisted.logger import Logger

from takotwist.interfaces import IReactor
from takotwist.server.config import Config
from takotwist.tls.certificate import utc
from takotwist.tls.context import ServerTls
from takotwist.tls.development_ca import DevelopmentFiles, ensure_development_certificate
from takotwist.tls.watch import CertificateWatch

if TYPE_CHECKING:
    from takotwist.server.acme import Acme

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


@attrs.frozen(slots=True)
class Certificate:
    """The certificate of a server.

    :ivar tls: shows it.
    :ivar watch: sees that its files have changed.
    :ivar acme: obtains it, where it is not there by itself.
    """

    tls: ServerTls
    watch: CertificateWatch
    acme: Acme | None = None

    def start_with(self, parent: MultiService) -> None:
        """Begin and end with another service."""
        self.watch.setServiceParent(parent)
        if self.acme is not None:
            self.acme.renewal.setServiceParent(parent)

    def reload(self) -> None:
        """Read the files again, and obtain a certificate that is missing, where that may be."""
        self.watch.reload()
        if self.acme is not None:
            self.acme.renewal.try_soon()


def certificate_of(
    config: Config, reactor: IReactor, wall: Callable[[], float]
) -> Certificate | None:
    """The certificate as configured, and the services that look after it; `None` without TLS.

    :param wall: unix time in seconds.
    :raises ConfigError: it cannot be used.
    """
    tls = config.tls
    if not tls.listen:
        return None
    if tls.domains:
        # Here, because what it imports is an extra.
        from takotwist.server.acme import acme_of

        acme = acme_of(config, reactor, wall)
        return Certificate(acme.tls, acme.watch, acme)
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
    return Certificate(server_tls, CertificateWatch(server_tls, reactor, renew, wall=wall))
