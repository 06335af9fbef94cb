"""Options of a subscription: times, bounds, and what `gone` means."""

from __future__ import annotations

from typing import Literal

import attrs

#: ``reset``: go on live and yield one `Reset`.  ``raise``: end with `Gone`.
#: ``ask``: call ``on_gone``, which gives the cursor to go on from, or `None` for live.
OnGone = Literal["reset", "raise", "ask"]

#: ``auto``: WebSocket, and SSE where the channel has no handlers.
Transport = Literal["auto", "sse", "websocket"]

#: Whether there is anything new to offer after credentials were refused.
CredentialsKind = Literal["none", "fixed", "callable"]


@attrs.frozen(slots=True, kw_only=True)
class Policy:
    """Times in milliseconds.

    :ivar base_ms: upper edge of the first retry's delay, until a server says ``retry:``.
    :ivar cap_ms: upper edge of any delay of our own.
    :ivar stable_ms: a connection that lasted this long counts as good.
    :ivar keepalive_ms: how often a healthy connection is heard of; two of them in
        silence are a dead one.  A ``tako.v1`` server says its own.
    :ivar answer_ms: how long an answer to a publish or to a subscribe is waited for.
    :ivar credentials_ms: how long a callable for credentials may take.
    :ivar max_message_bytes: a longer message breaks the connection.
    :ivar buffer_messages: past this many undelivered ones nothing more is read from
        the connection; the server then continues us from its log.
    :ivar max_publishes: publishes that may wait for a connection or an acknowledgement.
    :ivar max_publish_bytes: the same, in bytes.
    :ivar max_data_bytes: of one publish's data.  The server's default; a frame far
        beyond the server's own limit would cost the whole connection.
    """

    base_ms: float = 500
    cap_ms: float = 30_000
    stable_ms: float = 5_000
    keepalive_ms: float = 25_000
    answer_ms: float = 60_000
    credentials_ms: float = 30_000
    max_message_bytes: int = 4 * 2**20
    buffer_messages: int = 1_000
    max_publishes: int = 1_000
    max_publish_bytes: int = 2**20
    max_data_bytes: int = 65_536
