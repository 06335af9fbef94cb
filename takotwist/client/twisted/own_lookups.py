"""A reactor whose look-ups of one host's name take no thread of its pool.

The pool is the app's.  While the network is away each look-up holds a thread for half a
minute, and a few clients that come back again and again would hold all of them.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import (
    IHostnameResolver,
    IHostResolution,
    IReactorPluggableNameResolver,
    IResolutionReceiver,
)
from zope.interface import implementer

from takotwist.client.name_lookup import Found, NameLookup
from takotwist.interfaces import IReactor


@implementer(IHostResolution)
class _Resolution:
    """One look-up, for who waits for it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.cancelled = False

    def cancel(self) -> None:
        """Its result is not wanted any more."""
        self.cancelled = True


@implementer(IHostnameResolver)
class _Resolver:
    """Answers for one host."""

    def __init__(self, reactor: IReactor, lookup: NameLookup) -> None:
        self._reactor, self._lookup = reactor, lookup

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[object]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """See `IHostnameResolver`."""
        resolution = _Resolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)
        future = self._lookup.addresses()

        def found() -> None:
            if resolution.cancelled:
                return
            for address in _addresses(future):
                resolutionReceiver.addressResolved(address)
            resolutionReceiver.resolutionComplete()

        if future.done():
            found()
        else:
            future.add_done_callback(lambda _: self._reactor.callFromThread(found))
        return resolution


def _addresses(future: Future[list[Found]]) -> list[IPv4Address | IPv6Address]:
    # A name that has none and one that cannot be looked up are the same to an endpoint.
    if future.exception() is not None:
        return []
    kinds = {socket.AF_INET: IPv4Address, socket.AF_INET6: IPv6Address}
    return [
        kinds[socket.AddressFamily(family)]("TCP", *place[:2])
        for family, _, _, _, place in future.result()
        if family in kinds
    ]


@implementer(IReactorPluggableNameResolver)
class OwnLookups:
    """`reactor` with a resolver for one host.  Everything else is the reactor's own."""

    def __init__(self, reactor: IReactor, host: str, port: int) -> None:
        self._reactor = reactor
        self.nameResolver: IHostnameResolver = _Resolver(reactor, NameLookup(host, port))

    def installNameResolver(self, resolver: IHostnameResolver) -> IHostnameResolver:
        """See `IReactorPluggableNameResolver`."""
        before, self.nameResolver = self.nameResolver, resolver
        return before

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)
