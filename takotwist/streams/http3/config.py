"""Bounds of an HTTP/3 endpoint, as one frozen value.

Every number is a bound on memory, time or work that a stranger can cause; none
is `None`.  Sizes are bytes, times are seconds.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from attrs import field, frozen
from attrs.validators import ge, gt


class AddressCheck(Enum):
    """Occasions of the proof of a client's address (Retry, RFC 9000 section 8.1.2)."""

    ALWAYS = "always"
    #: Only while `Http3Config.max_handshakes` handshakes are under way: a Retry
    #: costs every client a round trip, and buys something only under a flood.
    UNDER_LOAD = "under-load"


class ConnectionBounds(Protocol):
    """Bounds of connections, which may change while a server runs."""

    @property
    def max_connections(self) -> int: ...
    @property
    def max_connections_per_address(self) -> int: ...


@frozen(kw_only=True)
class Http3Config:
    """Bounds and times of one UDP endpoint.

    :param idle_timeout: seconds without a packet after which a connection is
        dropped silently (RFC 9000 section 10.1).
    :param handshake_timeout: seconds for the handshake, all of it.
    :param keepalive: seconds without a packet after which a connection that has
        requests or sessions open is probed, so that a quiet stream does not
        meet `idle_timeout`; must be well under it.
    :param max_connections: connections at once, of about 90 KB each while idle;
        more are refused statelessly.
    :param max_connections_per_address: the same for one client address; 0 is no limit.
    :param max_handshakes: handshakes under way past which new clients get a Retry.
    :param address_check: when clients get one otherwise.
    :param max_streams: streams of each kind that a client may have open at once.
        Three one-way streams of a connection are HTTP/3's own.
    :param stream_window: unread bytes a client may have under way on one stream.
    :param connection_window: the same for one connection, over all its streams.
    :param high_water: unacknowledged bytes of one stream past which its writer is paused.
    :param low_water: unacknowledged bytes at which the writer goes on.
    :param max_header_bytes: bytes of one header block, encoded and decoded.
    :param max_body_bytes: bytes of one request's body; more is answered 413.
    :param max_datagrams: datagrams waiting to leave, for one connection.
    :param drain_seconds: how long `Http3Server.stop` waits for what is under way.
    """

    idle_timeout: float = field(default=30.0, validator=gt(0))
    handshake_timeout: float = field(default=10.0, validator=gt(0))
    keepalive: float = field(default=12.0, validator=gt(0))
    max_connections: int = field(default=2048, validator=ge(1))
    max_connections_per_address: int = field(default=0, validator=ge(0))
    max_handshakes: int = field(default=128, validator=ge(1))
    address_check: AddressCheck = AddressCheck.UNDER_LOAD
    max_streams: int = field(default=128, validator=ge(4))
    stream_window: int = field(default=256 * 1024, validator=ge(16 * 1024))
    connection_window: int = field(default=1024 * 1024, validator=ge(16 * 1024))
    high_water: int = field(default=256 * 1024, validator=ge(4096))
    low_water: int = field(default=64 * 1024, validator=ge(1024))
    max_header_bytes: int = field(default=16 * 1024, validator=ge(1024))
    max_body_bytes: int = field(default=1024 * 1024, validator=ge(0))
    max_datagrams: int = field(default=64, validator=ge(1))
    drain_seconds: float = field(default=10.0, validator=ge(0))

    def __attrs_post_init__(self) -> None:
        if self.keepalive * 2 > self.idle_timeout:
            raise ValueError("keepalive must be at most half of idle_timeout")
        if self.low_water >= self.high_water:
            raise ValueError("low_water must be under high_water")
        if self.connection_window < self.stream_window:
            raise ValueError("connection_window must be at least stream_window")
