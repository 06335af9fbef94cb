"""Bounds and origins of one WebTransport route, as one frozen value."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import field, frozen
from attrs.validators import ge, gt


def _texts(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


@frozen(kw_only=True)
class WebTransportConfig:
    """Bounds of one route.  Sizes are bytes, times are seconds.

    :param allowed_origins: pages that may open sessions, as
        ``https://app.example.com``; ``"*"`` for all.  Empty: only pages of the
        same host and port.  A client that sends no origin is no browser, and is let in.
    :param protocols: application protocols that the handler speaks, the
        preferred first; the first that the client offers is chosen.
    :param max_sessions: sessions of this route at once; more are answered 429.
    :param max_sessions_per_connection: sessions of all routes on one connection.
    :param max_streams: streams of a session that the client may have open, and
        as many again that the handler may open.
    :param high_water: unacknowledged bytes of a stream past which its writer waits.
    :param low_water: unacknowledged bytes at which it goes on.
    :param max_buffered: unacknowledged bytes of a stream past which `write` raises.
    :param max_datagrams: datagrams that wait for the handler; the oldest are dropped.
    :param early_streams: streams held on one connection for sessions to come.
    :param early_datagrams: datagrams held likewise.
    :param early_seconds: for how long.
    :param handler_grace: time of a handler to come to its end after its session
        did; it is cancelled then.
    """

    allowed_origins: tuple[str, ...] = field(default=(), converter=_texts)
    protocols: tuple[str, ...] = field(default=(), converter=_texts)
    max_sessions: int = field(default=10_000, validator=ge(1))
    max_sessions_per_connection: int = field(default=16, validator=ge(1))
    max_streams: int = field(default=64, validator=ge(1))
    high_water: int = field(default=64 * 1024, validator=ge(1024))
    low_water: int = field(default=16 * 1024, validator=ge(0))
    max_buffered: int = field(default=1024 * 1024, validator=ge(1024))
    max_datagrams: int = field(default=64, validator=ge(1))
    early_streams: int = field(default=16, validator=ge(0))
    early_datagrams: int = field(default=16, validator=ge(0))
    early_seconds: float = field(default=3.0, validator=gt(0))
    handler_grace: float = field(default=5.0, validator=ge(0))

    def __attrs_post_init__(self) -> None:
        if not self.low_water < self.high_water <= self.max_buffered:
            raise ValueError("low_water < high_water <= max_buffered must hold")
