"""Moves one QUIC connection through time: datagrams in, datagrams out, one timer.

Whatever touches the connection ends in `flush_soon`, so all that was written in
one turn of the reactor leaves together.  Knows no streams and no HTTP.
"""

from __future__ import annotations

from collections.abc import Callable

from aioquic.h3.connection import ErrorCode
from aioquic.quic.events import QuicEvent
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from takotwist.streams.http3.config import Http3Config
from takotwist.streams.http3.quic import BoundedQuic
from takotwist.streams.http3.stateless import Address

#: What floating point may take off a delay.
ROUNDING = 1e-6


class QuicDriver:
    """The clock and the wire of one connection.

    :param transmit: sends one datagram to an address.
    :param on_event: called with each event; it does not raise.
    :param on_flushed: called after each flush, when acknowledgements may have made room.
    :param is_busy: whether the connection must be kept alive while it is quiet.
    """

    def __init__(
        self,
        quic: BoundedQuic,
        clock: IReactorTime,
        transmit: Callable[[bytes, Address], None],
        config: Http3Config,
        *,
        on_event: Callable[[QuicEvent], None],
        on_flushed: Callable[[], None],
        is_busy: Callable[[], bool],
    ) -> None:
        self._quic, self._clock, self._transmit = quic, clock, transmit
        self._on_event, self._on_flushed, self._is_busy = on_event, on_flushed, is_busy
        self._keepalive = config.keepalive
        self._timer: IDelayedCall | None = None
        self._flush_call: IDelayedCall | None = None
        self._discarded = False
        self._now = self._heard = self._probed = clock.seconds()
        self._handshake_by: float | None = self._now + config.handshake_timeout

    def datagram_received(self, data: bytes, address: Address) -> None:
        """One UDP datagram for this connection."""
        self._heard = self._tick()
        self._quic.receive_datagram(data, address, now=self._heard)
        self._process_events()
        self.flush_soon()

    def handshake_ended(self) -> bool:
        """The handshake needs no deadline any more; whether it had one until now."""
        had, self._handshake_by = self._handshake_by is not None, None
        return had

    def flush_soon(self) -> None:
        """Send, once, at the end of this turn of the reactor."""
        if self._flush_call is None and not self._discarded:
            self._flush_call = self._clock.callLater(0, self.flush)

    def flush(self) -> None:
        """Send what there is, and set the timer."""
        if self._flush_call is not None and self._flush_call.active():
            self._flush_call.cancel()
        self._flush_call = None
        if self._discarded:
            return
        now = self._tick()
        if self._quic.get_peer_address() is not None:
            datagrams = self._quic.datagrams_to_send(now=now)
            # Sending makes events too: the ids that these datagrams give out must
            # be known before the peer can use them.
            self._process_events()
            for data, address in datagrams:
                self._transmit(data, address)
        self._on_flushed()
        self._arm()

    def discard(self) -> None:
        """Stop the timer and send nothing more."""
        self._discarded = True
        for call in (self._timer, self._flush_call):
            if call is not None and call.active():
                call.cancel()
        self._timer = self._flush_call = None

    def _tick(self) -> float:
        # The reactor's clock is the wall's; a step back must not stop the timers.
        self._now = max(self._now, self._clock.seconds())
        return self._now

    def _process_events(self) -> None:
        while (event := self._quic.next_event()) is not None:
            self._on_event(event)

    def _keepalive_at(self) -> float | None:
        if not self._is_busy():
            return None
        return max(self._heard, self._probed) + self._keepalive

    def _arm(self) -> None:
        wishes = (self._quic.get_timer(), self._handshake_by, self._keepalive_at())
        due = min((wish for wish in wishes if wish is not None), default=None)
        if due is None or self._discarded:
            return
        delay = max(0.0, due - self._now)
        if self._timer is not None and self._timer.active():
            # A timer that fires too early costs less than one set anew for each packet.
            if self._timer.getTime() <= self._clock.seconds() + delay:
                return
            self._timer.cancel()
        self._timer = self._clock.callLater(delay, self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer = None
        now = self._tick() + ROUNDING
        if self._handshake_by is not None and now >= self._handshake_by:
            self._quic.close(error_code=ErrorCode.H3_NO_ERROR, reason_phrase="handshake too slow")
        due = self._quic.get_timer()
        if due is not None and now >= due:
            self._quic.handle_timer(now=max(self._now, due))
            self._process_events()
        probe_at = self._keepalive_at()
        if probe_at is not None and now >= probe_at:
            self._probed = self._now
            self._quic.send_ping(0)
        self.flush()
