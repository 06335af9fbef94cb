"""The WebSocket connection that a handler is given, and its timers.

Everything waits: receiving for the client, sending for the client to take it.  Rules:
what is held for a handler is bounded in messages and in bytes, and each waiter is told
of the end exactly once.  The timers (`Keepalive`: handshake timeout, pings, lifetime) are on
the reactor that is given, at most two, and nothing is left when the connection is gone.
"""

from __future__ import annotations

from collections import deque

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from takotwist.errors import TakoError
from takotwist.streams.websocket.config import WebSocketConfig
from takotwist.streams.websocket.connection import WebSocketConnection

#: Bytes of messages that wait for the handler beyond which the socket is not read.
MAX_QUEUED_BYTES = 1 << 20


class ConnectionClosed(TakoError):
    """The connection is over, or is closing.

    :ivar code: the client's close code; 1005 where it gave none, 1006 where it just went.
    :ivar reason: the client's.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"the connection was closed: {code} {reason}".rstrip())
        self.code = code
        self.reason = reason


class WebSocket:
    """One connection, as its handler sees it.

    :ivar subprotocol: the one agreed on, or `None`.
    :ivar close_code: how it ended, or `None`; see `ConnectionClosed`.
    :ivar close_reason: the client's.
    """

    _connection: WebSocketConnection

    def __init__(self, max_queued: int) -> None:
        self._max_queued = max_queued
        self._queue: deque[str | bytes] = deque()
        self._queued_bytes = 0
        self._receiving: Deferred[None] | None = None
        self._room: list[Deferred[None]] = []
        self._pongs: dict[bytes, Deferred[None]] = {}
        self._over: list[Deferred[None]] = []
        self._pings = 0
        self.close_code: int | None = None
        self.close_reason = ""
        #: Whether the handler has been told that it is over.
        self.told = False

    @property
    def subprotocol(self) -> str | None:
        return self._connection.subprotocol

    def __aiter__(self) -> WebSocket:
        return self

    async def __anext__(self) -> str | bytes:
        try:
            return await self.receive()
        except ConnectionClosed:
            raise StopAsyncIteration from None

    async def receive(self) -> str | bytes:
        """The next message, text or bytes.

        :raises ConnectionClosed: there is none to come.
        """
        while not self._queue:
            if self.close_code is not None or not self._connection.open:
                await self._end()
            self._receiving = Deferred()
            await self._receiving
        message = self._queue.popleft()
        self._queued_bytes -= len(message)
        if len(self._queue) <= self._max_queued // 2 and self._queued_bytes <= MAX_QUEUED_BYTES:
            self._connection.resume_reading()
        return message

    async def send(self, message: str | bytes) -> None:
        """Send text or bytes; waits while the client is slow.

        :raises ConnectionClosed: it is over, or closing.
        """
        while self._connection.open and self._connection.paused:
            room: Deferred[None] = Deferred()
            self._room.append(room)
            await room
        if not self._connection.open:
            await self._end()
        if isinstance(message, str):
            self._connection.send_text(message.encode("utf-8", "replace"))
        else:
            self._connection.send_binary(bytes(message))

    async def send_json(self, value: object) -> None:
        """Send `value` as a text message of JSON."""
        await self.send(msgspec.json.encode(value).decode())

    async def ping(self) -> None:
        """Ask for a pong, and wait for it.

        :raises ConnectionClosed: it is over before one comes.
        """
        if not self._connection.open:
            await self._end()
        self._pings += 1
        payload = b"%d" % self._pings
        pong = self._pongs[payload] = Deferred()
        self._connection.ping(payload)
        await pong

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close, and wait until the client has answered or its time is over.

        :raises ValueError: when `code` may not be sent.
        """
        self._connection.close(code, reason)
        self.told = True
        await self._wait_closed()

    def abort(self) -> None:
        """Drop the client without a word."""
        self._connection.abort()

    async def _wait_closed(self) -> None:
        if self.close_code is None:
            over: Deferred[None] = Deferred()
            self._over.append(over)
            await over

    async def _end(self) -> None:
        self.told = True
        await self._wait_closed()
        assert self.close_code is not None
        raise ConnectionClosed(self.close_code, self.close_reason)

    # from the connection

    def message_received(self, payload: bytes, is_binary: bool) -> None:
        message = payload if is_binary else payload.decode("utf-8")
        self._queue.append(message)
        self._queued_bytes += len(message)
        if len(self._queue) >= self._max_queued or self._queued_bytes > MAX_QUEUED_BYTES:
            self._connection.pause_reading()
        waiting, self._receiving = self._receiving, None
        if waiting is not None and not waiting.called:
            waiting.callback(None)

    def pong_received(self, payload: bytes) -> None:
        pong = self._pongs.pop(payload, None)
        if pong is not None and not pong.called:
            pong.callback(None)

    def resumed(self) -> None:
        waiting, self._room = self._room, []
        for room in waiting:
            if not room.called:
                room.callback(None)

    def lost(self, code: int, reason: str) -> None:
        self.close_code, self.close_reason = code, reason
        waiting = [*self._room, *self._over]
        if self._receiving is not None:
            waiting.append(self._receiving)
        self._room, self._over, self._receiving = [], [], None
        pongs, self._pongs = self._pongs, {}
        for one in waiting:
            if not one.called:
                one.callback(None)
        for pong in pongs.values():
            if not pong.called:
                self.told = True
                pong.errback(ConnectionClosed(code, reason))


#: How often, within the upgrade timeout, it is looked whether the client takes the
#: answer to its handshake.
_LOOKS = 20


class Keepalive:
    """Drives `ping_interval`, `pong_timeout`, `max_lifetime` and `upgrade_timeout`."""

    def __init__(
        self, connection: WebSocketConnection, config: WebSocketConfig, reactor: IReactorTime
    ) -> None:
        self._connection = connection
        self._config = config
        self._reactor = reactor
        self._heard = False
        self._life: IDelayedCall | None = None
        if config.max_lifetime is not None:
            self._life = reactor.callLater(config.max_lifetime, self._outlived)
        self._looks_left = _LOOKS
        self._look = config.upgrade_timeout / _LOOKS
        self._beat: IDelayedCall | None = reactor.callLater(0, self._answer_taken)

    def heard(self) -> None:
        """Something came from the client."""
        self._heard = True

    def stop(self) -> None:
        """The connection is gone."""
        for timer in (self._life, self._beat):
            if timer is not None and timer.active():
                timer.cancel()
        self._life = self._beat = None

    def _answer_taken(self) -> None:
        """Until then nothing else is timed: a client that does not read its answer is not there."""
        self._beat = None
        if self._heard or not self._connection.buffered:
            self._rest(self._config.ping_interval)
        elif self._looks_left <= 0:
            self._connection.abort()
        else:
            self._looks_left -= 1
            self._beat = self._reactor.callLater(self._look, self._answer_taken)

    def _rest(self, delay: float | None) -> None:
        if delay is not None and self._connection.open:
            self._beat = self._reactor.callLater(delay, self._ping)

    def _ping(self) -> None:
        self._heard = False
        self._connection.ping()
        self._beat = self._reactor.callLater(self._config.pong_timeout, self._judge)

    def _judge(self) -> None:
        self._beat = None
        if self._heard or not self._connection.reading:
            # What is not read for cannot be heard; that is our doing.
            assert self._config.ping_interval is not None
            self._rest(max(0.0, self._config.ping_interval - self._config.pong_timeout))
        else:
            self._connection.abort()

    def _outlived(self) -> None:
        self._life = None
        self._connection.close(1001, "lifetime over")
