"""Settings of a WebSocket endpoint, as one frozen value.

Sizes are bytes and times are seconds.  Every option does something; `None`
where it is allowed means that there is no such bound.
"""

from __future__ import annotations

from typing import Any

import attrs
from attrs.validators import deep_iterable, ge, gt, le, matches_re, optional

from takotwist.streams.http.peer import OriginPolicy

_POSITIVE: Any = gt(0)
_POSITIVE_OR_NONE: Any = optional(gt(0))

#: RFC 9110, section 5.6.2.
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"


@attrs.frozen(slots=True, kw_only=True)
class Deflate:
    """permessage-deflate (RFC 7692), when the client offers it.

    :ivar server_max_window_bits: 9 to 15; what our own compressor may use, 2^n
        bytes a connection.
    :ivar client_max_window_bits: 9 to 15; asked of the client where it can.
    :ivar server_context_takeover: whether our compressor keeps its window between
        messages: smaller messages, more memory.
    :ivar client_context_takeover: whether the client may keep its own.
    :ivar memory_level: 1 to 9, zlib's.
    :ivar compress_from: messages shorter than this go uncompressed.
    """

    server_max_window_bits: int = attrs.field(default=15, validator=[ge(9), le(15)])
    client_max_window_bits: int = attrs.field(default=15, validator=[ge(9), le(15)])
    server_context_takeover: bool = True
    client_context_takeover: bool = True
    memory_level: int = attrs.field(default=8, validator=[ge(1), le(9)])
    compress_from: int = attrs.field(default=256, validator=ge(0))


def _origins(value: object) -> OriginPolicy:
    return value if isinstance(value, OriginPolicy) else OriginPolicy.of(value)  # type: ignore[arg-type]


@attrs.frozen(slots=True, kw_only=True)
class WebSocketConfig:
    """Options of a WebSocket endpoint.

    :ivar subprotocols: in the order in which the server prefers them.  A client
        that offers none of them is accepted without one.
    :ivar max_frame_size: of one frame as it comes; larger closes with 1009.
    :ivar max_message_size: of one whole message after inflation; larger closes with
        1009.  1 MiB is plenty for most.
    :ivar allowed_origins: list of origins (``https://app.example.com``), ``"*"`` for
        every page, or `None` for pages of this server only.  A handshake without
        an Origin header comes from no page; it is refused where a list is given.
    :ivar upgrade_timeout: how long the client has to take the answer to its handshake.
    :ivar ping_interval: between pings; `None` for none.
    :ivar pong_timeout: how long after a ping a client that has not been heard is dropped (1006).
    :ivar max_lifetime: after which a connection is closed with 1001; `None` for never.
    :ivar close_timeout: how long the client has to answer a close.
    :ivar deflate: compression; `None`, the default, for none.
    :ivar max_queued: messages that wait for the handler; beyond it the socket is not read.
    """

    subprotocols: tuple[str, ...] = attrs.field(
        default=(), converter=tuple, validator=deep_iterable(matches_re(_TOKEN))
    )
    max_frame_size: int = attrs.field(default=16 << 20, validator=_POSITIVE)
    max_message_size: int = attrs.field(default=64 << 20, validator=_POSITIVE)
    allowed_origins: OriginPolicy = attrs.field(default=None, converter=_origins)
    upgrade_timeout: float = attrs.field(default=10.0, validator=_POSITIVE)
    ping_interval: float | None = attrs.field(default=30.0, validator=_POSITIVE_OR_NONE)
    pong_timeout: float = attrs.field(default=10.0, validator=_POSITIVE)
    max_lifetime: float | None = attrs.field(default=None, validator=_POSITIVE_OR_NONE)
    close_timeout: float = attrs.field(default=5.0, validator=_POSITIVE)
    deflate: Deflate | None = None
    max_queued: int = attrs.field(default=64, validator=_POSITIVE)
