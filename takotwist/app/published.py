"""Stored messages, and the interface of a publisher, wherever it runs.

Rule: nothing of HTTP and nothing of Twisted in here; the server's process and
an app elsewhere give their own `Publishing` the same meaning.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Protocol

import attrs

from takotwist.app.stream_call import StreamCall, StreamLine, StreamReply
from takotwist.core.json_values import Json
from takotwist.core.topic import Draft


@attrs.frozen(slots=True)
class Published:
    """One message as it was stored (protocol, section 2).

    :ivar id: decimal text, to be treated as opaque; good as a cursor.
    :ivar data: what JSON makes of it.
    """

    id: str
    channel: str
    type: str
    data: Json


class Publishing(Protocol):
    """A way for messages out of this process, stored when it has answered."""

    def publish_soon(
        self,
        channel: str,
        params: Mapping[str, object],
        drafts: Sequence[Draft],
        idempotency_key: str | None,
    ) -> Awaitable[list[Published]]:
        """Store all `drafts` or none; for whoever can await."""

    def publish_now(
        self,
        channel: str,
        params: Mapping[str, object],
        drafts: Sequence[Draft],
        idempotency_key: str | None,
    ) -> list[Published]:
        """The same for whoever cannot: blocks the thread it is called in."""

    def members_soon(
        self, channel: str, params: Mapping[str, object]
    ) -> Awaitable[Sequence[bytes]]:
        """The members of a topic as JSON, one each; for whoever can await."""

    def kick_soon(self, channel: str, params: Mapping[str, object], subject: str) -> Awaitable[int]:
        """Take a member of a topic out; the number of its connections."""

    def stream_line(self, channel: str, params: Mapping[str, object]) -> StreamLine:
        """A way for a writer of streamed messages, where it runs now."""

    def stream_now(
        self, channel: str, params: Mapping[str, object], call: StreamCall
    ) -> StreamReply:
        """One call of a writer that cannot await: blocks the thread it is called in."""
