"""The other nodes of the server, for what one of them holds: the port of connections to them.

An object lives on the node whose function returned it, and its id begins with that node's
name.  A page's wire may be on any node; what the page sends for an object elsewhere goes over
a connection to its node, and what the object sends comes back on it.

Rules: a node takes greetings with its secret alone, which is in the directory of nodes, so who
reaches its port and not the store is nobody; a connection carries one page, so one that reads
slowly holds up nobody else; the node that the client reached passes on its credentials and its
address, and the node that holds the object decides by them; and who is on no list of nodes, or
refuses to be connected to, is gone.
(To hand the client's own connection over was the alternative.  A page has one wire, names its
session only on it, and may have objects on several nodes.)
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from enum import IntEnum
from typing import Protocol

import msgspec
from twisted.internet.defer import Deferred, ensureDeferred

from takotwist.core.json_values import JsonObject
from takotwist.errors import Refusal

#: Stands between the name of a node and the rest of an id.
SEPARATOR = "."

#: Of what nodes say to each other by these connections: greetings, kinds and outcomes.  A change
#: that the release before would misread raises it; a field more, with a default, is none.
VERSION = 1


class NodeGone(Exception):
    """The node is not there any more, and what it held has ended."""


class Kind(IntEnum):
    """Kinds of frames between nodes."""

    #: A frame of the page's wire, as it stands there.
    TEXT = 1
    BINARY = 2
    #: The end of what was asked, an `Outcome`.
    END = 3
    #: The page has left for good.
    LEFT = 4
    #: The page broke the protocol; the payload is how.
    BROKEN = 5


class Spoken(msgspec.Struct, frozen=True):
    """Part of a greeting that every version can read."""

    version: int = 1


class _Proven(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    secret: str = ""
    version: int = 1


class Greeting(_Proven, frozen=True, tag=True):
    """Purpose of a connection.

    :ivar node: who is meant: its address may have another's now.
    :ivar secret: of that node; `Peers` adds it, and the `version` of what follows.
    """

    node: str


class Carry(Greeting, frozen=True, tag=True):
    """It carries a page's objects.

    :ivar headers: of the page's wire, and its cookies.
    :ivar address: of the client.
    """

    headers: Mapping[str, str | None]
    cookies: Mapping[str, str]
    address: str


class Lines(Greeting, frozen=True, tag=True):
    """It brings one POST of frames for an event stream."""

    key: str
    content_type: str
    body: bytes


class Leave(Greeting, frozen=True, tag=True):
    """A page has left."""

    session: str


class Show(Greeting, frozen=True, tag=True):
    """One of the node's own pages is wanted."""

    what: str


class Say(Greeting, frozen=True, tag=True):
    """A member of a topic says something of itself; its event stream is there.

    :ivar connection: the name of the event stream.
    :ivar subject: whose that must be; `None` where who says it may do so for anybody.
    :ivar state: JSON.
    """

    channel: str
    params: JsonObject
    connection: str
    subject: str | None
    state: bytes


#: All of them, as a node reads one.
AnyGreeting = Carry | Lines | Leave | Show | Say


class Outcome(msgspec.Struct, frozen=True):
    """Outcome of something that has ended.

    :ivar code: of the refusal; empty where all is well.
    :ivar gone: the node that was meant is not there.
    :ivar body: what was asked for, where that was something.
    """

    code: str = ""
    sentence: str = ""
    status: int = 0
    gone: bool = False
    body: bytes = b""


class PeerStream(Protocol):
    """One connection to another node."""

    @property
    def full(self) -> bool:
        """Back-pressure: it takes no more for now."""

    def send(self, kind: Kind, payload: bytes = b"") -> None:
        """Send a frame; dropped where the connection has gone."""

    def hold(self, held: bool) -> None:
        """Stop reading, or go on."""

    def close(self) -> None:
        """Send what was sent, and close."""

    def abort(self) -> None:
        """Drop the connection."""


class PeerListener(Protocol):
    """Hears of one connection."""

    def received(self, kind: Kind, payload: bytes) -> None:
        """A frame has come."""

    def pressure(self, full: bool) -> None:
        """The connection takes no more for now, or does again."""

    def lost(self) -> None:
        """The connection has gone.  Nothing comes after it."""


class Peers(Protocol):
    """The other nodes.

    :ivar name: of this one, and `secret`, which others have from the directory.
    """

    @property
    def name(self) -> str: ...

    @property
    def secret(self) -> str: ...

    def connect(self, greeting: Greeting, listener: PeerListener) -> Awaitable[PeerStream]:
        """Connect to the node that `greeting` names.

        :raises NodeGone: it is not there any more.
        :raises Overloaded: nobody knows, or it is of a release that says these things in
            another way; try again.
        """

    def others(self) -> Awaitable[Sequence[str]]:
        """The names of the other nodes that are there.  Raises nothing."""


class _Once:
    """Waits for the outcome of one question."""

    def __init__(self) -> None:
        self.outcome: Deferred[Outcome] = Deferred()

    def received(self, kind: Kind, payload: bytes) -> None:
        """See `PeerListener`."""
        if kind is Kind.END and not self.outcome.called:
            self.outcome.callback(msgspec.msgpack.decode(payload, type=Outcome))

    def pressure(self, full: bool) -> None:
        """See `PeerListener`.  The question is one frame, and sent."""

    def lost(self) -> None:
        """See `PeerListener`."""
        if not self.outcome.called:
            self.outcome.callback(Outcome(gone=True))


async def ask(peers: Peers, greeting: Greeting) -> Outcome:
    """Ask a node something that it answers by its outcome.

    :raises NodeGone: it is not there, or went away meanwhile.
    :raises Overloaded: it cannot be reached now.
    """
    once = _Once()
    stream = await peers.connect(greeting, once)
    try:
        outcome = await once.outcome
    finally:
        stream.close()
    if outcome.gone:
        raise NodeGone
    return outcome


def tell(peers: Peers, greeting: Greeting) -> None:
    """As `ask`, where nobody waits for it."""
    asking = ensureDeferred(ask(peers, greeting))
    # What cannot be told now shows by itself: the page does not come back.
    asking.addErrback(lambda failure: failure.trap(NodeGone, Refusal) and None)


def name_on(node: str, rest: str) -> str:
    """A name that says on which node its bearer is."""
    return f"{node}{SEPARATOR}{rest}"


def node_of(name: str) -> str | None:
    """The node that a name says; `None` where it says none."""
    node, separator, _ = name.partition(SEPARATOR)
    return node if separator else None
