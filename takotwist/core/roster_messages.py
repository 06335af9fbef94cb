"""Messages of rosters: what a change of who is here is in the log.

Each node writes messages of its own alone, with its name in them and in their keys
(`Append.keys`), so no two ever write one key, and nobody has to agree on anything: a member is
here while any node says so.  (One message a member, with the nodes in it, was the alternative:
it needs a compare-and-set and a retry for each tab that is opened on another node.)
"""

from __future__ import annotations

from typing import Final

import msgspec

from takotwist.core.topic import Topic

JOIN: Final = "tako.join"
UPDATE: Final = "tako.update"
LEAVE: Final = "tako.leave"
COUNT: Final = "tako.count"

#: Of all messages of rosters.
ROSTER_TYPES: Final = frozenset({JOIN, UPDATE, LEAVE, COUNT})

#: Begins the keys of rosters, and no key of a channel's topic.
PREFIX = "~presence:"


def roster_of(topic: Topic) -> Topic:
    """The companion topic that holds the changes of who is at `topic`."""
    return Topic(topic.channel, topic.params, PREFIX + topic.key)


def is_roster(topic: Topic) -> bool:
    """`True` where a topic is the companion of another."""
    return topic.key.startswith(PREFIX)


class Change(msgspec.Struct, frozen=True, gc=False):
    """One message for a roster's topic.

    :ivar key: what it replaces the earlier one of.
    :ivar data: JSON.
    :ivar kept: it says what is; else, what has ended.
    :ivar subject: of the member; `None` of a count.
    """

    key: str
    type: str
    data: bytes
    kept: bool
    subject: str | None


class _Said(msgspec.Struct):
    """The data of each message: which fields there are depends on its type."""

    subject: str | None = None
    on: str = ""
    since: int = 0
    info: msgspec.Raw = msgspec.Raw()
    state: msgspec.Raw = msgspec.Raw()
    infoId: str = ""
    stateId: str = ""
    count: int | None = None


_SAID = msgspec.json.Decoder(_Said)


def say(node: str, **fields: object) -> bytes:
    """The data of a message; what is `None` is left out, and the name of the only node."""
    said = {**({"on": node} if node else {}), **fields}
    return msgspec.json.encode({name: one for name, one in said.items() if one is not None})


class Entry(msgspec.Struct, frozen=True):
    """Content of one message of a roster.

    :ivar on: the node that said it.
    :ivar since: when the member came, unix time in milliseconds.
    :ivar info: and `state`: JSON, `None` where there is none.
    :ivar count: of connections that are no members; `None` of a member's message.
    :ivar info_id: and `state_id`: of the message with which the node said it first.  A node
        repeats what it has said before, with a state its old info and the other way round, and
        what another node has said since is newer than what is repeated.
    """

    subject: str | None
    on: str
    since: int
    info: bytes | None
    state: bytes | None
    count: int | None
    info_id: int = 0
    state_id: int = 0


def read_entry(data: bytes, id: int = 0) -> Entry:
    """Decode the data of a roster's message.

    :param id: of the message.
    """
    said = _SAID.decode(data)
    info, state = bytes(said.info) or None, bytes(said.state) or None
    # A server of before said no ids, and this one does not where what is said is new.
    ids = int(said.infoId or id), int(said.stateId or id)
    return Entry(said.subject, said.on, said.since, info, state, said.count, *ids)


def entry_data(of: Entry) -> bytes:
    """The data of a message that says this of a member."""
    info, state = [one and msgspec.Raw(one) for one in (of.info, of.state)]
    return say(of.on, subject=of.subject, since=of.since, info=info, state=state)


def key_of(node: str, subject: str) -> str:
    """The key of a node's messages of a member."""
    # A node's name has no space, so this is no key of a count either, which is the name alone.
    return f"{node} {subject}"


def ended(entry: Entry) -> Change:
    """The change that takes an entry of a dead node out of a roster."""
    if entry.subject is None:
        return Change(entry.on, COUNT, say(entry.on, count=0), False, None)
    data = say(entry.on, subject=entry.subject)
    return Change(key_of(entry.on, entry.subject), LEAVE, data, False, entry.subject)
