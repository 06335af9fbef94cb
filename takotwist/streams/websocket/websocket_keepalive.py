"""The times of one WebSocket connection: its answer taken, pings, and its end.

Rule: everything is on the reactor that it is given, in at most two timers, and
nothing is left when the connection is gone.
"""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from takotwist.streams.websocket.config import WebSocketConfig
from takotwist.streams.websocket.connection import WebSocketConnection

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
