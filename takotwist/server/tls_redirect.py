"""Redirects from the plain listeners to TLS, and Strict-Transport-Security.

Rule: the target of a redirect never follows from what was sent but where that is ours:
a name of the certificate, or one that is configured.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from takotwist.admin.health import HEALTH_PATH
from takotwist.errors import HostRejected
from takotwist.server.reloadable import Reloadable
from takotwist.streams.http.host import HostPolicy, host_of
from takotwist.streams.http.interface import Request
from takotwist.streams.http.peer import asked_host
from takotwist.transports.responses import Responses

#: Answered without TLS too: health checks, and the CA that gives out the certificate that TLS
#: needs (RFC 8555, section 8.3).
PLAIN = (HEALTH_PATH.encode(), b"/.well-known/acme-challenge/")

#: Of HTTPS.
USUAL_PORT = 443


@attrs.define(slots=True, eq=False)
class TlsRedirect:
    """Redirect (308) of requests that come without TLS.

    :param names: of the certificate, at this moment.
    :param port: of TLS, as clients reach it.
    """

    _reloadable: Reloadable
    _answers: Responses
    _names: Callable[[], tuple[str, ...]]
    _port: int = USUAL_PORT

    def opened(self, port: int) -> None:
        """TLS is at `port`, which the system has chosen."""
        self._port = port

    def answer(self, request: Request) -> bool:
        """Redirect a request; `False` where it is none to be redirected.

        Not one that came by TLS to a proxy that is trusted, nor what is `PLAIN`.
        """
        reloadable = self._reloadable
        path: bytes = request.path
        plain = path == PLAIN[0] or path.startswith(PLAIN[1]) or not path.startswith(b"/")
        if plain or reloadable.peer(request).secure:
            return False
        host = asked_host(request, reloadable.proxies) or ""
        name = host_of(host)
        if not name or not self._hosts.permits(host, None):
            refusal = HostRejected("The certificate of this server is for no such host.")
            self._answers.cors(request)
            self._answers.refuse(request, refusal)
            return True
        port = "" if self._port == USUAL_PORT else f":{self._port}"
        name = f"[{name}]" if ":" in name else name
        self._answers.cors(request)
        headers = request.responseHeaders
        request.setResponseCode(308)
        headers.setRawHeaders(b"location", [f"https://{name}{port}".encode() + request.uri])
        # A browser would remember it beyond the day on which it is configured away.
        headers.setRawHeaders(b"cache-control", [b"no-store"])
        headers.setRawHeaders(b"content-length", [b"0"])
        request.finish()
        return True

    @property
    def _hosts(self) -> HostPolicy:
        said = [one for one in self._reloadable.named_hosts if one != "*"]
        return HostPolicy.of([*self._names(), *said])


def strict_transport(value: str) -> Callable[[Request], bool]:
    """Makes answers over TLS say ``Strict-Transport-Security``; answers nothing itself."""
    encoded = value.encode()

    def say(request: Request) -> bool:
        # Over anything else browsers pass it over (RFC 6797, section 8.1).
        if request.isSecure():
            request.responseHeaders.setRawHeaders(b"strict-transport-security", [encoded])
        return False

    return say
