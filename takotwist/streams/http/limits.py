"""Limits of what a stranger may spend of an HTTP server, as one frozen value.

Sizes are bytes and times are seconds; none is without bound.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Literal

import attrs
from attrs.validators import gt


class Body(Enum):
    """The way of a request's body to its resource."""

    #: The resource is rendered at the head, and takes the body as it comes
    #: (`StreamRequest.stream_body`).
    STREAMED = "streamed"


#: Method and path (no query) -> how many bytes a body may have, or `Body.STREAMED`.
BodyRule = Callable[[bytes, bytes], "int | Literal[Body.STREAMED]"]


#: Over HTTP/2 and 3 a head of so many times as many bytes as one that is served is refused
#: on its stream, and a larger one ends the connection.
HEAD_FACTOR = 8


@attrs.frozen(slots=True, kw_only=True)
class HttpLimits:
    """Bounds of one site.

    :ivar head_timeout: from the first byte of a request, or from the connection's
        beginning, to the end of its head; TLS handshake included.
    :ivar idle_timeout: between two requests, and without a byte within a body.
    :ivar max_line: of a request line or of one header line.
    :ivar max_head: of a whole head; more is answered 431.  Over HTTP/2 and 3 each field counts
        32 bytes more (RFC 9113, section 6.5.2); see `HEAD_FACTOR`.
    :ivar max_headers: how many header lines; more is answered 431.
    :ivar max_body: of a request's body where no rule says otherwise; more is answered 413.
    :ivar linger_bytes: how much of a body that nobody wants is read and dropped, so
        that the client comes to read its answer.
    :ivar linger_timeout: how long that may take.
    :ivar max_streams: requests at once on one HTTP/2 connection.
    """

    head_timeout: float = attrs.field(default=10.0, validator=gt(0))
    idle_timeout: float = attrs.field(default=60.0, validator=gt(0))
    max_line: int = attrs.field(default=16384, validator=gt(0))
    max_head: int = attrs.field(default=16384, validator=gt(0))
    max_headers: int = attrs.field(default=100, validator=gt(0))
    max_body: int = attrs.field(default=65536, validator=gt(0))
    linger_bytes: int = attrs.field(default=1 << 20, validator=gt(0))
    linger_timeout: float = attrs.field(default=2.0, validator=gt(0))
    max_streams: int = attrs.field(default=100, validator=gt(0))
