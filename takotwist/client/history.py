"""One page of what is kept of a topic, as the server answered it (protocol, section 8).

Read here for every loop; the skins only fetch it.  Rule: an answer that is no
page is an error that says what came, never an empty page.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from takotwist.client.errors import NoAnswer, ProtocolBroken, UnexpectedAnswer
from takotwist.client.events import Message, read_message, read_object
from takotwist.client.machine.outcome import foreign, of_status, read_refusal
from takotwist.errors import Refusal

#: Longest page that is read: a thousand of the longest messages that a server takes unasked.
MAX_PAGE_BYTES = 64 * 2**20

#: Seconds for a page, from the connection to its last byte.
PAGE_SECONDS = 30.0


@attrs.frozen(slots=True)
class History:
    """A page of history.

    :ivar messages: in order, the oldest first.
    :ivar cursor: good as ``after=`` of the next page, or as ``cursor=`` of a subscription
        that misses nothing behind this page.
    :ivar more: whether there was more behind it.
    """

    messages: tuple[Message, ...]
    cursor: str
    more: bool


@attrs.define(slots=True)
class PageBody:
    """The body of an answer while it comes, of which only so much is kept."""

    _data: bytearray = attrs.field(factory=bytearray, init=False)

    @property
    def whole(self) -> bytes:
        """All that has come."""
        return bytes(self._data)

    def came(self, data: bytes) -> None:
        """Some more of it.  :raises ProtocolBroken: it is longer than `MAX_PAGE_BYTES`."""
        self._data += data
        if len(self._data) > MAX_PAGE_BYTES:
            raise ProtocolBroken(
                f"A page of history is longer than {MAX_PAGE_BYTES} bytes: lower limit."
            )


def too_late(seconds: float) -> NoAnswer:
    """What is raised where no whole page came in `seconds`."""
    return NoAnswer(f"The server did not answer within {seconds:g} s.")


def read_history(
    status: int,
    body: bytes,
    params: Mapping[str, Any],
    retry_after: str | None,
    now_ms: float,
    content_type: str | None = None,
) -> History:
    """The page in an answer.

    :param params: of the topic, as the caller gave them.
    :param retry_after: the header.
    :param now_ms: wall clock, for a ``Retry-After`` that is a date.
    :raises Refusal: the server refused.
    :raises UnexpectedAnswer: what answered is no takotwist server.
    :raises ProtocolBroken: it answered with what is no page.
    """
    if status != 200:
        outcome = of_status(status, *read_refusal(body), retry_after, now_ms, content_type)
        error = outcome.error()
        if isinstance(error, Refusal) and outcome.wait_ms:
            error.retry_after = outcome.wait_ms / 1000
        raise error
    try:
        value = read_object(body)
    except ProtocolBroken:
        # A page for people, such as a login's.
        raise UnexpectedAnswer(f"http-{status}", foreign(status, content_type)) from None
    messages, cursor, more = (value.get(name) for name in ("messages", "cursor", "more"))
    if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
        raise ProtocolBroken("The server sent history whose messages are no list of objects.")
    if not isinstance(cursor, str) or not isinstance(more, bool):
        raise ProtocolBroken("The server sent history without its cursor or more.")
    return History(tuple(read_message(one, params) for one in messages), cursor, more)
