"""Transports on Twisted: HTTP responses by treq and WebSockets by Autobahn, as facts.

Autobahn's own timers are off: they go to txaio's loop and not to the reactor
that was given, and the machine's watchdog does their work.

Endpoints are plain, TLS or a Unix socket.  Why a connection failed is said in words for a
person: Twisted's own texts are lists of failures, and OpenSSL's are lists of tuples.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import attrs
from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from cryptography.x509 import load_pem_x509_certificates
from OpenSSL.crypto import X509
from OpenSSL.SSL import Error as TlsError
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError, ConnectionDone
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IPushProducer,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Protocol as BodyProtocol
from twisted.internet.protocol import connectionDone
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from takotwist.client.errors import ProtocolBroken
from takotwist.client.machine.outcome import Action, Outcome, of_status, read_refusal
from takotwist.client.target import Target
from takotwist.client.twisted.own_lookups import OwnLookups
from takotwist.client.wire import SUBPROTOCOL
from takotwist.codecs.http_answer import AnswerReader, BrokenAnswer
from takotwist.interfaces import IReactor


def sentence_of(failed: BaseException | None) -> str:
    """One sentence about what went wrong with a connection or a request."""
    reasons = getattr(failed, "reasons", None)
    if reasons:
        return sentence_of(reasons[-1].value)
    if isinstance(failed, TlsError) and failed.args and isinstance(failed.args[0], list):
        words = [reason for *_, reason in failed.args[0] if reason]
        return f"TLS: {'; '.join(words)}" if words else "TLS failed"
    if isinstance(failed, ConnectError) and isinstance(failed.osError, int):
        return os.strerror(failed.osError)
    return str(failed or "") or type(failed).__name__


#: How the answer to an upgrade begins.
_UPGRADED = b"HTTP/1.1 101"

#: Most that is read of an error's body.
ERROR_BODY_BYTES = 65_536


class Line(Protocol):
    """Interface that a transport needs of whoever drives the machine."""

    def now(self) -> float:
        """The machine's time."""

    def tell(self, fact: Callable[..., None], *args: object) -> None:
        """Tell the machine a fact, and carry out what it wants then."""

    def flowing(self, producer: IPushProducer) -> None:
        """Bytes come from here; it is paused while the caller has no room."""

    def carries(self, send: Callable[[bytes], None]) -> None:
        """Text frames can be sent from now on."""


class _Body(BodyProtocol):
    """Hands out a response's body as it comes."""

    def __init__(self, received: Callable[[bytes], None]) -> None:
        self._received = received
        self.ended: Deferred[bool] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self._received(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.callback(reason.check(ResponseDone, PotentialDataLoss) is not None)


async def carry_sse(
    line: Line, machine: Any, client: Any, url: str, headers: Mapping[str, str]
) -> None:
    """One SSE request, to its end.

    :param client: a `treq.client.HTTPClient`.
    """
    try:
        response = await client.get(
            url,
            headers={**headers, "Accept": "text/event-stream"},
            allow_redirects=False,
            unbuffered=True,
        )
    except Exception as failed:
        if isinstance(failed, ValueError | TypeError):
            # A header that cannot be sent is the caller's error and would fail again.
            raise
        line.tell(machine.lost, line.now(), sentence_of(failed))
        return
    outcome = of_status(response.code, content_type=_header(response, "content-type"))
    if outcome.action is not Action.OPEN:
        line.tell(machine.answered, await _refusal(response, outcome), line.now())
        return
    line.tell(machine.answered, outcome, line.now())
    body = _Body(lambda data: line.tell(machine.bytes_received, data, line.now()))
    response.deliverBody(body)
    if IPushProducer.providedBy(body.transport):
        line.flowing(body.transport)
    clean = await body.ended
    line.tell(machine.ended if clean else machine.lost, line.now())


def _header(response: Any, name: str) -> str | None:
    values = response.headers.getRawHeaders(name)
    return values[-1] if values else None


async def _refusal(response: Any, outcome: Outcome) -> Outcome:
    if response.code == 200:
        return outcome
    pieces: list[bytes] = []

    def received(data: bytes) -> None:
        pieces.append(data)
        if sum(map(len, pieces)) > ERROR_BODY_BYTES and body.transport is not None:
            body.transport.loseConnection()

    body = _Body(received)
    response.deliverBody(body)
    await body.ended
    code, sentence = read_refusal(b"".join(pieces))
    retry_after = _header(response, "retry-after")
    kind = _header(response, "content-type")
    return of_status(response.code, code, sentence, retry_after, time.time() * 1000, kind)


class _WebSocket(WebSocketClientProtocol):  # type: ignore[misc]
    """Autobahn's callbacks as facts."""

    def __init__(self, line: Line, machine: Any, opened: Callable[[str | None], None]) -> None:
        super().__init__()
        self._line, self._machine, self._opened = line, machine, opened
        self._subprotocol: str | None = None
        self._told = False
        self._why = ""
        self._head: bytes | None = b""
        self._other: AnswerReader | None = None
        self.ended: Deferred[None] = Deferred()

    def onConnect(self, response: Any) -> None:
        self._subprotocol = response.protocol

    def onOpen(self) -> None:
        self._line.carries(self.sendMessage)
        self._line.flowing(self.transport)
        self._opened(self._subprotocol)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        if isBinary:
            broken = ProtocolBroken("The server sent a binary frame.")
            self._line.tell(self._machine.broke, broken, self._line.now())
        else:
            self._line.tell(self._machine.text_received, payload, self._line.now())

    def onPing(self, payload: bytes) -> None:
        self._line.tell(self._machine.heard, self._line.now())
        super().onPing(payload)

    def onCloseFrame(self, code: int | None, reasonRaw: bytes | None) -> bool | None:
        answer: bool | None = super().onCloseFrame(code, reasonRaw)
        reason = (reasonRaw or b"").decode("utf-8", "replace")
        self._tell(self._machine.closed_by_peer, code or 1005, reason)
        self.transport.loseConnection()
        return answer

    def failHandshake(self, reason: str) -> None:
        outcome = Outcome(Action.BACKOFF, "not-a-websocket", reason)
        self._tell(self._machine.answered, outcome)
        super().failHandshake(reason)

    def dataReceived(self, data: bytes) -> None:
        # Autobahn looks at the status of an answer that is no upgrade and forgets the rest;
        # its body, which may come later, is what says whether the server itself refused.
        if self._head is None:
            super().dataReceived(data)
            return
        self._head += data
        if self._other is None and len(self._head) >= len(_UPGRADED):
            data, self._head = self._head, b""
            if data.startswith(_UPGRADED):
                self._head = None
                super().dataReceived(data)
                return
            self._other = AnswerReader()
        if self._other is not None:
            self._otherwise(self._other, data)

    def _otherwise(self, reader: AnswerReader, data: bytes) -> None:
        try:
            answer = reader.feed(data) if data else reader.ended()
        except BrokenAnswer as broken:
            self._tell(self._machine.lost, why=str(broken))
            self.transport.abortConnection()
            return
        if answer is not None:
            code, sentence = read_refusal(answer.body)
            wait, kind = answer.headers.get("retry-after"), answer.headers.get("content-type")
            outcome = of_status(answer.status, code, sentence, wait, time.time() * 1000, kind)
            self._tell(self._machine.answered, outcome)
            self.transport.abortConnection()

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        if self.wasMaxMessagePayloadSizeExceeded:
            broken = ProtocolBroken("A message was too long.")
            self._line.tell(self._machine.broke, broken, self._line.now())
        else:
            self._tell(self._machine.lost, why=self._why)
        self.ended.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        # Autobahn gives `onClose` a text made of this, with the library's words around it.
        if not reason.check(ConnectionDone):
            self._why = sentence_of(reason.value)
        if self._other is not None and not self._told:
            self._otherwise(self._other, b"")
        super().connectionLost(reason)

    def _tell(self, fact: Callable[..., None], *args: object, **more: object) -> None:
        if not self._told:
            self._told = True
            self._line.tell(partial(fact, **more), *args, self._line.now())


async def carry_websocket(
    line: Line,
    machine: Any,
    reactor: IReactor,
    endpoint: IStreamClientEndpoint,
    url: str,
    headers: Mapping[str, str],
    max_bytes: int,
    opened: Callable[[str | None], None],
) -> None:
    """One WebSocket, to its end.

    :param max_bytes: of one message.
    :param opened: tells the machine, with the subprotocol that the server chose.
    """
    factory = WebSocketClientFactory(
        url, protocols=[SUBPROTOCOL], headers=dict(headers), reactor=reactor
    )
    factory.noisy = False
    factory.setProtocolOptions(
        maxMessagePayloadSize=max_bytes,
        openHandshakeTimeout=0,
        closeHandshakeTimeout=0,
        serverConnectionDropTimeout=0,
        autoPingInterval=0,
    )
    socket = _WebSocket(line, machine, opened)

    def build(address: object) -> _WebSocket:
        socket.factory = factory
        return socket

    factory.buildProtocol = build
    try:
        await endpoint.connect(factory)
    except Exception as failed:
        if isinstance(failed, ValueError | TypeError):
            raise
        line.tell(machine.lost, line.now(), sentence_of(failed))
        return
    await socket.ended


def endpoint_for(reactor: Any, target: Target, ca_file: str | None) -> IStreamClientEndpoint:
    """The endpoint of a server.

    :param ca_file: PEM of the only authority to trust, or `None` for the system's.
    """
    if target.socket_path is not None:
        return UNIXClientEndpoint(reactor, target.socket_path)
    parts = urlsplit(target.origin)
    host = parts.hostname or ""
    tls = parts.scheme == "https"
    port = parts.port or (443 if tls else 80)
    plain = HostnameEndpoint(OwnLookups(reactor, host, port), host, port)
    return secured(plain, host, ca_file) if tls else plain


def secured(plain: IStreamClientEndpoint, host: str, ca_file: str | None) -> IStreamClientEndpoint:
    """`plain` by TLS.

    :param host: whose name the certificate must have.
    """
    trust = None
    if ca_file is not None:
        trust = trustRootFromCertificates(
            Certificate(X509.from_cryptography(one))
            for one in load_pem_x509_certificates(Path(ca_file).read_bytes())
        )
    return wrapClientTLS(optionsForClientTLS(host, trustRoot=trust), plain)


@implementer(IStreamClientEndpoint)
@attrs.define(eq=False)
class Abortable:
    """An endpoint for one connection that can be aborted at any time.

    Losing a connection politely waits for the peer where there is TLS, and a peer
    that is dropped is often one that answers nothing.
    """

    _endpoint: IStreamClientEndpoint
    _made: object = attrs.field(default=None, init=False)

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """See `IStreamClientEndpoint`."""
        return self._endpoint.connect(protocolFactory).addCallback(self._connected)

    def _connected(self, protocol: IProtocol) -> IProtocol:
        self._made = protocol
        return protocol

    def abort(self) -> bool:
        """Abort the connection.

        :return: whether there is one.
        """
        transport = getattr(self._made, "transport", None)
        if transport is not None:
            transport.abortConnection()
        return self._made is not None


@implementer(IAgentEndpointFactory)
@attrs.frozen
class OneEndpoint:
    """Has an `Agent` use one endpoint, whatever it is asked for."""

    endpoint: IStreamClientEndpoint

    def endpointForURI(self, uri: object) -> IStreamClientEndpoint:
        """See `IAgentEndpointFactory`."""
        return self.endpoint
