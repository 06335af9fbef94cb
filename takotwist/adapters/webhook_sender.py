"""Requests of webhooks: one POST, no redirect, and only to addresses that may be asked.

An address is checked when its host was looked up, and that very address is connected to: a
name that leads elsewhere a moment later changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import (
    IConsumer,
    IHostnameResolver,
    IHostResolution,
    IResolutionReceiver,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.ssl import optionsForClientTLS
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory, IBodyProducer, IResponse
from zope.interface import implementer

from takotwist.errors import Unreachable
from takotwist.interfaces import IReactor
from takotwist.ports import IWebhookSender

#: Of an answer's body so much is read; an endpoint may log what it could not write.
MAX_ANSWER = 64 * 1024


def is_public(host: str) -> bool:
    """`True` for an address that everybody on the internet may ask."""
    address = ip_address(host.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    if mapped is not None:
        address = mapped
    return address.is_global and not address.is_multicast


@implementer(IResolutionReceiver)
class _Filter:
    """Hands on the addresses that are public."""

    def __init__(self, receiver: Any) -> None:
        self._receiver = receiver

    def resolutionBegan(self, resolution: object) -> None:
        self._receiver.resolutionBegan(resolution)

    def addressResolved(self, address: object) -> None:
        if isinstance(address, IPv4Address | IPv6Address) and is_public(address.host):
            self._receiver.addressResolved(address)

    def resolutionComplete(self) -> None:
        self._receiver.resolutionComplete()


@implementer(IHostnameResolver)
class _PublicResolver:
    def __init__(self, resolver: Any) -> None:
        self._resolver = resolver

    def resolveHostName(
        self,
        resolutionReceiver: object,
        hostName: str,
        portNumber: int = 0,
        addressTypes: object = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        found: IHostResolution = self._resolver.resolveHostName(
            _Filter(resolutionReceiver), hostName, portNumber, addressTypes, transportSemantics
        )
        return found


class _PublicReactor:
    """The reactor, but for names that lead to no public address."""

    def __init__(self, reactor: IReactor) -> None:
        self._reactor = reactor
        self.nameResolver = _PublicResolver(reactor.nameResolver)

    def __getattr__(self, name: str) -> object:
        return getattr(self._reactor, name)


@implementer(IAgentEndpointFactory)
class _Endpoints:
    def __init__(self, reactor: IReactor | _PublicReactor, timeout: float) -> None:
        self._reactor, self._timeout = reactor, timeout

    def endpointForURI(self, uri: URI) -> object:
        host = uri.host.decode("ascii")
        plain = HostnameEndpoint(self._reactor, host, uri.port, timeout=self._timeout)
        if uri.scheme == b"https":
            return wrapClientTLS(optionsForClientTLS(host), plain)
        return plain


@implementer(IBodyProducer)
class _Body:
    def __init__(self, body: bytes) -> None:
        self._body, self.length = body, len(body)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(self._body)
        done: Deferred[None] = Deferred()
        done.callback(None)
        return done

    def pauseProducing(self) -> None:
        """It is out already."""

    def resumeProducing(self) -> None:
        """It is out already."""

    def stopProducing(self) -> None:
        """It is out already."""


class _Rest(Protocol):
    """Reads the body of an answer, up to a bound in size and time, and keeps nothing."""

    def __init__(self, reactor: IReactor, timeout: float) -> None:
        self._size = 0
        self._late = reactor.callLater(timeout, self._leave)

    def dataReceived(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > MAX_ANSWER:
            self._leave()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._late.active():
            self._late.cancel()

    def _leave(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()


@implementer(IWebhookSender)
class WebhookSender:
    """See `IWebhookSender`.

    :param reactor: of the process.
    :param timeout: seconds for one request.
    """

    def __init__(self, reactor: IReactor, timeout: float) -> None:
        self._reactor, self._timeout = reactor, timeout
        # A connection for each: one that is kept is closed by the other end just when it is used,
        # as a rule, and then nobody knows whether the event has arrived.
        pool = HTTPConnectionPool(reactor, persistent=False)
        self._private = Agent.usingEndpointFactory(reactor, _Endpoints(reactor, timeout), pool)
        self._public = Agent.usingEndpointFactory(
            reactor, _Endpoints(_PublicReactor(reactor), timeout), pool
        )

    def post(
        self, url: str, headers: Mapping[str, str], body: bytes, private: bool
    ) -> Deferred[tuple[int, float]]:
        """See `IWebhookSender`."""
        agent = self._private if private else self._public
        fields = Headers({"Content-Type": ["application/json"], "User-Agent": ["takotwist"]})
        for name, value in headers.items():
            fields.setRawHeaders(name, [value])
        asking: Deferred[IResponse] = agent.request(
            b"POST", url.encode("ascii"), fields, _Body(body)
        )
        asking.addTimeout(self._timeout, self._reactor)
        return asking.addCallbacks(self._read, _unreachable)

    def _read(self, response: IResponse) -> tuple[int, float]:
        response.deliverBody(_Rest(self._reactor, self._timeout))
        said: Sequence[str] = response.headers.getRawHeaders("retry-after") or ("",)
        text = said[0].strip()
        return response.code, float(text) if text.isascii() and text.isdigit() else 0.0


def _unreachable(failure: Failure) -> tuple[int, float]:
    why = failure.value
    if isinstance(why, DeferredTimeout):
        raise Unreachable("it did not answer in time") from None
    raise Unreachable(f"it cannot be reached: {type(why).__name__}") from None
