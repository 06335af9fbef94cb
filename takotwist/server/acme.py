"""A certificate that is obtained by ACME, as configured.

Imported where domains are named, and nowhere else: the libraries are an extra.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from threading import Event

import attrs

from takotwist.interfaces import IReactor
from takotwist.server.config import Config
from takotwist.streams.http.interface import Request
from takotwist.tls.acme.folder import AcmeFolder
from takotwist.tls.acme.order import ChallengeType, Orders
from takotwist.tls.acme.renewal import AcmeRenewal, Turn
from takotwist.tls.certificate import utc
from takotwist.tls.context import ServerTls
from takotwist.tls.watch import CertificateWatch

#: Where answers to http-01 are asked for (RFC 8555, section 8.3).
CHALLENGE_PATH = b"/.well-known/acme-challenge/"


@attrs.frozen(slots=True)
class HttpAnswers:
    """Answers to http-01 challenges, on the plain listeners."""

    _folder: AcmeFolder

    def answer(self, request: Request) -> bool:
        """Answer a challenge; `False` where the request is none that is open."""
        path: bytes = request.path
        if not path.startswith(CHALLENGE_PATH):
            return False
        body = self._folder.http_answer(path[len(CHALLENGE_PATH) :].decode("latin-1"))
        if body is None:
            return False
        headers = request.responseHeaders
        headers.setRawHeaders(b"content-type", [b"application/octet-stream"])
        headers.setRawHeaders(b"content-length", [b"%d" % len(body)])
        request.write(body)
        request.finish()
        return True


@attrs.frozen(slots=True)
class Acme:
    """Manager of a server's certificate from an ACME authority.

    :ivar tls: shows it.
    :ivar watch: sees what other processes obtain.
    """

    tls: ServerTls
    watch: CertificateWatch
    renewal: AcmeRenewal
    answers: HttpAnswers


def acme_of(config: Config, reactor: IReactor, wall: Callable[[], float]) -> Acme:
    """The manager of the certificate for `tls.domains`.

    :raises ConfigError: its folder cannot be used.
    """
    tls = config.tls
    folder = AcmeFolder(tls.acme_folder, tls.acme_directory, tls.domains)
    folder.prepare(utc(wall()))
    server_tls = ServerTls(
        folder.certificate, folder.certificate, tls.profile, challenged=folder.alpn_answer
    )
    watch = CertificateWatch(server_tls, reactor, wall=wall)
    stop = Event()
    ca_file = None if tls.acme_ca_file is None else str(tls.acme_ca_file)
    turn = Turn(
        folder,
        Orders(folder, tls.email, ca_file, wall, stop),
        _challenges(config),
        wall,
        random.random,
    )
    renewal = AcmeRenewal(turn, reactor, watch.reload, stop)
    return Acme(server_tls, watch, renewal, HttpAnswers(folder))


def _challenges(config: Config) -> tuple[ChallengeType, ...]:
    match config.tls.acme_challenge:
        case "any":
            return ("tls-alpn-01", "http-01") if config.http.listen else ("tls-alpn-01",)
        case one:
            return (one,)
