"""Access checks of a listener: the host that a request names, and on the private one its page.

Made before any route is asked.  The origin of a page is checked here on the private listener
only; on the public ones it comes later, in the order of the protocol.
Rule: a client that is refused is told why, and so is the operator, with the key to look at.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.logger import Logger

from takotwist.errors import HostRejected, OriginRejected
from takotwist.server.log_throttle import LogThrottle
from takotwist.server.reloadable import Reloadable
from takotwist.streams.http.host import is_loopback
from takotwist.streams.http.interface import ReadableRequest
from takotwist.streams.http.peer import asked_host

#: Of what a client states, so much is repeated to it and to the log.
SHOWN = 200


@attrs.define(slots=True)
class ListenerAccess:
    """Checks of the public listeners, and of the private one."""

    _reloadable: Reloadable
    _log: LogThrottle

    @classmethod
    def of(cls, reloadable: Reloadable, seconds: Callable[[], float]) -> ListenerAccess:
        """:param seconds: the time."""
        return cls(reloadable, LogThrottle(Logger(), seconds))

    def check_public(self, request: ReadableRequest) -> None:
        """:raises HostRejected: the request names a host that is none of ours."""
        reloadable = self._reloadable
        if reloadable.hosts_said or self._is_exposed(request):
            # A proxy that is trusted may have been asked for another host than we are.
            host = asked_host(request, reloadable.proxies)
            if not reloadable.hosts.permits(host, None):
                proxy = "; a proxy that passes it on is named in http.trusted_proxies"
                self._turn_away(request, host, "http.allowed_hosts", proxy)

    def _is_exposed(self, request: ReadableRequest) -> bool:
        """`True` if a page could make its own name lead here, where no hosts are configured.

        A browser does that from this machine, or within the network of a developer (DNS
        rebinding).  A deployment is behind a proxy that is trusted, or asked from elsewhere:
        it may have any name, and is not to be stopped until it is told.
        """
        peer = getattr(request.client, "host", None)
        if self._reloadable.proxies.trusts(peer):
            return False
        if self._reloadable.development and request.isSecure():
            return True
        if peer is None or is_loopback(peer):
            return peer is not None
        return bool(peer == getattr(request.getHost(), "host", None))

    def check_private(self, request: ReadableRequest) -> None:
        """:raises HostRejected: :raises OriginRejected: see `Reloadable`."""
        reloadable = self._reloadable
        peer = getattr(request.client, "host", None)
        if peer is not None:
            # No browser speaks to a Unix socket, and its clients name any host.
            host, reached = asked_host(request), getattr(request.getHost(), "host", None)
            if not reloadable.private_hosts.permits(host, reached):
                self._turn_away(request, host, "private.allowed_hosts")
        origin = request.getHeader("origin")
        if origin is not None and not self.private_allows(request, origin):
            self._log.warn(
                "the private listener has refused a page of {origin}; private.allowed_origins"
                " lists those that may use it",
                origin=origin[:SHOWN],
            )
            raise OriginRejected(
                f"The private listener serves no page of {origin[:SHOWN]!r}:"
                " private.allowed_origins lists those that it serves."
            )

    def origin_refused(self, request: ReadableRequest, origin: str) -> None:
        """Tell the operator that a page was refused on a public listener, and what to do."""
        own = self._reloadable.peer(request).origin or "a server without a host"
        self._log.warn(
            "a page of {origin} was refused by {own}, which is how its client reached this"
            " server, from {address}. Where it may connect, add it to http.allowed_origins."
            " Where that is not how its browser reached it, name the proxy in between in"
            " http.trusted_proxies, and have it pass on Host and X-Forwarded-Proto",
            origin=origin[:SHOWN],
            own=own[:SHOWN],
            address=getattr(request.client, "host", None) or "a Unix socket",
        )

    def private_allows(self, request: ReadableRequest, origin: str) -> bool:
        """`True` if a page of `origin` may use the private listener."""
        return self._reloadable.private_origins.permits(origin, None)

    def _turn_away(
        self, request: ReadableRequest, host: str | None, key: str, proxy: str = ""
    ) -> None:
        shown = (host or "")[:SHOWN]
        self._log.warn(
            "a request for the host {host} was refused, from {address}; {key} lists those that"
            " are served{proxy}",
            proxy=proxy,
            host=shown,
            address=getattr(request.client, "host", None),
            key=key,
        )
        raise HostRejected(f"The host {shown!r} is not served here: {key} lists those that are.")
