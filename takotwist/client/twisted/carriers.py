"""HTTP responses by treq and WebSockets by Autobahn, as facts for a machine.

Autobahn's own timers are off: they go to txaio's loop and not to the reactor
that was given, and the machine's watchdog does their work.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer, IStreamClientEndpoint
from twisted.internet.protocol import Protocol as BodyProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss

from takotwist.client.errors import ProtocolBroken
from takotwist.client.machine.outcome import Action, Outcome, of_status, read_refusal
from takotwist.client.twisted.trouble import sentence_of
from takotwist.client.wire import SUBPROTOCOL
from takotwist.codecs.http_answer import AnswerReader, BrokenAnswer

#: How the answer to an upgrade begins.
_UPGRADED = b"HTTP/1.1 101"

#: Most that is read of an error's body.
ERROR_BODY_BYTES = 65_536


class Line(Protocol):
    """What a carrier needs of whoever drives the machine."""

    def now(self) -> float:
        """The machine's time."""

    def tell(self, fact: Callable[..., None], *args: Any) -> None:
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

    def _tell(self, fact: Callable[..., None], *args: Any, **more: Any) -> None:
        if not self._told:
            self._told = True
            self._line.tell(partial(fact, **more), *args, self._line.now())


async def carry_websocket(
    line: Line,
    machine: Any,
    reactor: Any,
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
