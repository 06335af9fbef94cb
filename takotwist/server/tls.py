"""The certificate of the server: the operator's, or one of a development CA.

Rule: either is watched for as long as the server runs, so that a renewed one is
shown without a restart and one that was not renewed is told of in time.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from twisted.logger import Logger

from takotwist.server.config import Config
from takotwist.transports.certificate import utc
from takotwist.transports.certificate_watch import CertificateWatch
from takotwist.transports.development_ca import ensure_development_certificate
from takotwist.transports.tls import ServerTls

log = Logger()


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
        folder = config.state_dir / "tls"

        def renew(now: datetime) -> object:
            return ensure_development_certificate(folder, tls.hosts, now)

        files = ensure_development_certificate(folder, tls.hosts, utc(wall()))
        server_tls = ServerTls(files.certificate, files.key, tls.profile)
        log.info(
            "TLS by the development CA in {authority}; `tako trust` says how to trust it",
            authority=str(files.authority),
        )
    return server_tls, CertificateWatch(server_tls, reactor, renew, wall=wall)
