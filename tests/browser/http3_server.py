"""A server with HTTP/3, by a certificate that a page pins and no authority has signed."""

from __future__ import annotations

import socket
from datetime import UTC, datetime

import attrs

from takotwist.tls.certificate import short_lived_certificate
from tests.sockets.server_process import FAST, ServerProcess, free_port


@attrs.frozen
class Http3Server:
    """One that is not started yet, whose pages come over plain HTTP.

    :ivar settings: ``url`` and ``sha256``, by which a page begins a session.
    """

    process: ServerProcess
    settings: dict[str, str]

    @classmethod
    def of(cls, app: str, *, serve: bool = False) -> Http3Server:
        """
        :param app: the lines of ``[app]``.
        :param serve: see `ServerProcess`.
        """
        process, port = ServerProcess(serve=serve, tls=True), free_port(kind=socket.SOCK_DGRAM)
        process.write_config(
            f"{FAST}\n"
            f'[http]\nallowed_origins = ["{process.url}"]\n'
            '[tls]\ncertificate = "cert.pem"\nkey = "key.pem"\n'
            f'[http3]\nlisten = ["udp:{port}:interface=127.0.0.1"]\n'
            f"[app]\n{app}\n"
        )
        made = short_lived_certificate(["localhost", "127.0.0.1"], now=datetime.now(UTC))
        process.write("cert.pem", made.certificate.decode("ascii"))
        process.write("key.pem", made.key.decode("ascii"))
        url = f"https://127.0.0.1:{port}"
        return cls(process, {"url": url, "sha256": made.sha256.hex()})
