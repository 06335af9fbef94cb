"""Events of a subscription, and pages of history: what the server said, as values.

A subscription yields two kinds only.  Rule: everything between two `Reset`s was delivered
once, in order and without a gap, whatever happened to the connection meanwhile.

A page of history (protocol, section 8) is read here for every loop; the I/O adapters only
fetch it.  Rule: an answer that is no page is an error that says what came, never an empty
page.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import msgspec

from takotwist.client.errors import NoAnswer, ProtocolBroken, UnexpectedAnswer
from takotwist.client.machine.outcome import foreign, of_status, read_refusal
from takotwist.core.json_values import Json, JsonObject
from takotwist.errors import Refusal


@attrs.frozen(slots=True)
class Message:
    """One message of a topic (protocol, section 2).

    :ivar id: opaque text; good as a ``cursor=`` of a later subscription.
    :ivar channel: the channel's name.
    :ivar type: the message's type.
    :ivar data: any JSON value.
    :ivar params: the topic's params as the subscription was made with, or as a
        multiplexed connection says them.
    """

    id: str
    channel: str
    type: str
    data: Json
    params: JsonObject = attrs.field(factory=dict)


@attrs.frozen(slots=True)
class Reset:
    """Continuity ended here: reload your state, then go on reading.

    The subscription is already attached when this is yielded, so a state loaded
    now together with the messages that follow misses nothing.

    :ivar reason: ``replay-too-old``, ``cursor-invalid`` or ``no-cursor``.
    :ivar cursor: where the subscription goes on, or `None` where nobody said.
    """

    reason: str
    cursor: str | None


Event = Message | Reset

#: Type of the message that a roster's subscription yields once all who were there have been named.
SYNCED = "tako.synced"


def read_object(text: str | bytes) -> dict[str, Json]:
    """:raises ProtocolBroken: when `text` is no JSON object."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as bad:
        raise ProtocolBroken(f"The server sent what is no JSON: {bad}.") from None
    if not isinstance(value, dict):
        raise ProtocolBroken("The server sent JSON that is no object.")
    return value


def read_message(value: JsonObject, params: JsonObject) -> Message:
    """The message that a server sent.

    :param params: what the subscription was made with, where `value` has none.
    :raises ProtocolBroken: when a field is missing; names it.
    """
    said_id = value.get("id")
    if isinstance(said_id, int) and not isinstance(said_id, bool):
        said_id = str(said_id)
    if not isinstance(said_id, str) or not said_id:
        raise ProtocolBroken("The server sent a message without an id.")
    for name in ("channel", "type"):
        if not isinstance(value.get(name), str):
            raise ProtocolBroken(f"The server sent message {said_id} without a {name}.")
    if "data" not in value:
        raise ProtocolBroken(f"The server sent message {said_id} without data.")
    topic = value.get("params")
    return Message(
        said_id,
        value["channel"],
        value["type"],
        value["data"],
        topic if isinstance(topic, dict) else params,
    )


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
    """Error of a page that did not come whole in `seconds`."""
    return NoAnswer(f"The server did not answer within {seconds:g} s.")


def read_history(
    status: int,
    body: bytes,
    params: Mapping[str, object],
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
