"""What a subscription yields.

Two kinds only.  Rule: everything between two `Reset`s was delivered once, in
order and without a gap, whatever happened to the connection meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import msgspec

from takotwist.client.errors import ProtocolBroken


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
    data: Any
    params: Mapping[str, Any] = attrs.field(factory=dict)


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


def read_object(text: str | bytes) -> dict[str, Any]:
    """:raises ProtocolBroken: when `text` is no JSON object."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as bad:
        raise ProtocolBroken(f"The server sent what is no JSON: {bad}.") from None
    if not isinstance(value, dict):
        raise ProtocolBroken("The server sent JSON that is no object.")
    return value


def read_message(value: Mapping[str, Any], params: Mapping[str, Any]) -> Message:
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
