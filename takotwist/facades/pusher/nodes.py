"""What the nodes of a server tell each other of an app: by a topic of the log that all share.

Who follows what on a node is said by it whenever it changes, a few times a second at most, and
whole when somebody asks: so a node holds what the others have, and a list of members is that of
all nodes.  What is not stored is delivered by every node to its own connections.

Rules: what is said is what is, not what has changed, so that it may be said twice; and what a
node said counts until it has been silent for `SILENT_SECONDS`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

import attrs
import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from takotwist.core.channel import MINUTE_MS, Lifecycle
from takotwist.core.deadlines import Deadline
from takotwist.core.log import Appended
from takotwist.core.topic import Draft, Topic
from takotwist.errors import Refusal
from takotwist.flow.attach import Attacher
from takotwist.flow.listening import Listening
from takotwist.flow.publish import PublisherService

if TYPE_CHECKING:
    from takotwist.facades.pusher.hub import Hub

#: Not a channel's name.
CHANNEL = "~pusher"

#: A node that is cut from the store for less misses nothing.
LIFECYCLE = Lifecycle(replay_window_ms=10_000, inactivity_ttl_ms=10 * MINUTE_MS)

#: Seconds between two sayings of what has changed here, and of nothing new.
CHANGED_SECONDS, ALIVE_SECONDS = 0.25, 5.0

#: Seconds after which what a silent node said does not count any more.
SILENT_SECONDS = 16.0


class Away(msgspec.Struct, frozen=True):
    """Who follows one channel on another node.

    :ivar count: of connections.
    :ivar members: what each shows, by user.
    """

    count: int
    members: dict[str, msgspec.Raw] = {}


class State(msgspec.Struct, tag="state"):
    """What is on a node.

    :ivar channels: those that have changed, or all.
    """

    node: str
    channels: dict[str, Away]
    whole: bool = False


class Ask(msgspec.Struct, tag="ask"):
    """Say it whole, whoever hears this."""

    node: str


class Deliver(msgspec.Struct, tag="deliver"):
    """A frame for all who follow a channel."""

    node: str
    name: str
    frame: str


class LeaveOut(msgspec.Struct, tag="leave out"):
    """The next such message is not for this connection, or is an event of a member."""

    node: str
    name: str
    event: str
    data: str
    socket_id: str = ""
    user_id: str | None = None


class Terminate(msgspec.Struct, tag="terminate"):
    """End the connections of a user."""

    node: str
    user_id: str


Said = State | Ask | Deliver | LeaveOut | Terminate
_SAID: msgspec.json.Decoder[Said] = msgspec.json.Decoder(Said)


class MemberChanges(Protocol):
    """A hub, as far as who looks after members elsewhere needs it."""

    def members(self, name: str) -> dict[str, msgspec.Raw]: ...
    def elsewhere_changed(self, name: str, before: Mapping[str, msgspec.Raw]) -> None: ...


@attrs.define(slots=True, eq=False)
class OtherNodes:
    """The other nodes, for one app.

    :ivar node: the name of this process, which no other has.
    """

    node: str
    hub: Hub
    publishing: PublisherService
    attacher: Attacher
    _heard: dict[str, float] = attrs.field(factory=dict, init=False)
    _channels: dict[str, dict[str, Away]] = attrs.field(factory=dict, init=False)
    _changed: set[str] = attrs.field(factory=set, init=False)
    _flush: Deadline | None = attrs.field(default=None, init=False)
    _said_at: float = attrs.field(default=0.0, init=False)
    _alive: Deadline | None = attrs.field(default=None, init=False)
    _topic: Topic = attrs.field(init=False)
    _listening: Listening = attrs.field(init=False)
    _log: Logger = attrs.field(factory=Logger, init=False)

    def __attrs_post_init__(self) -> None:
        self._topic = Topic.of(CHANNEL, {"app": self.hub.app.name})
        self._listening = Listening(
            self.attacher,
            self.publishing.flush_batch,
            self._topic,
            LIFECYCLE,
            self._take,
            lambda: self.say(Ask(self.node)),
        )

    def start(self) -> None:
        """Begin to listen."""
        self._listening.start()
        self._look()

    def stop(self) -> None:
        """Say nothing more; what was here is forgotten when it has been silent."""
        self._listening.stop()
        for one in (self._flush, self._alive):
            if one is not None:
                one.cancel()

    # what they have

    def count(self, name: str) -> int:
        """Connections of other nodes that follow a channel."""
        return sum(one[name].count for one in self._channels.values() if name in one)

    def members(self, name: str) -> Mapping[str, msgspec.Raw]:
        """Members of other nodes, and what they show."""
        members: dict[str, msgspec.Raw] = {}
        for one in self._channels.values():
            if name in one:
                members.update(one[name].members)
        return members

    def all_members(self) -> Iterator[tuple[str, str]]:
        """Channels and members of other nodes."""
        for one in self._channels.values():
            for name, away in one.items():
                for user_id in away.members:
                    yield name, user_id

    def names(self) -> set[str]:
        """Channels that are followed on other nodes."""
        return {name for one in self._channels.values() for name in one}

    # what we say

    def say(self, said: Said) -> None:
        """Tell the others, who hear it before whatever is published after it."""
        draft = Draft("said", msgspec.json.encode(said))
        saying: Deferred[Appended] = self.publishing.publish(self._topic, [draft], LIFECYCLE)
        saying.addErrback(self._not_said, said)

    def changed(self, name: str) -> None:
        """Something has changed in a channel here."""
        self._changed.add(name)
        if self._flush is None:
            when = self.publishing.seconds() + CHANGED_SECONDS
            self._flush = self.attacher.deadlines.at(when, self._say_changes)

    def _say_changes(self) -> None:
        self._flush = None
        changed, self._changed = self._changed, set()
        self._said_at = self.publishing.seconds()
        self.say(State(self.node, {name: self._here(name) for name in changed}))

    def _here(self, name: str) -> Away:
        followed = self.hub.channels.roster.get(name)
        members = {one.user_id: msgspec.Raw(one.info) for one in followed.members.values()}
        return Away(len(followed.connections), members)

    def _not_said(self, failure: Failure, said: Said) -> None:
        if not failure.check(Refusal):
            self._log.failure("telling the other nodes failed", failure)
        if isinstance(said, State):
            for name in said.channels:
                self.changed(name)

    def _look(self) -> None:
        now = self.publishing.seconds()
        self._alive = self.attacher.deadlines.at(now + ALIVE_SECONDS / 2, self._look)
        if now >= self._said_at + ALIVE_SECONDS:
            self._said_at = now
            self.say(State(self.node, {}))
        for node, heard in list(self._heard.items()):
            if now > heard + SILENT_SECONDS:
                del self._heard[node]
                self._state(State(node, {}, whole=True))
                self._channels.pop(node, None)

    # what we hear

    def _take(self, kind: str, data: bytes) -> None:
        said = _SAID.decode(data)
        if said.node == self.node:
            return
        if isinstance(said, State):
            known = said.node in self._heard
            self._heard[said.node] = self.publishing.seconds()
            if known or said.whole:
                self._state(said)
            else:
                self.say(Ask(self.node))
        elif isinstance(said, Ask):
            names = [name for name, _ in self.hub.channels.roster.items()]
            state = {name: self._here(name) for name in names}
            self.say(State(self.node, state, whole=True))
        elif isinstance(said, Deliver):
            self.hub.deliver(said.name, said.frame.encode())
        elif isinstance(said, LeaveOut):
            self.hub.expect(said)
        else:
            self.hub.users.terminate_here(said.user_id)

    def _state(self, said: State) -> None:
        own = self._channels.setdefault(said.node, {})
        names = set(said.channels)
        if said.whole:
            names |= set(own)
        for name in names:
            before = self.hub.channels.members(name)
            now = said.channels.get(name)
            if now is None or not now.count:
                own.pop(name, None)
            else:
                own[name] = now
            self.hub.channels.elsewhere_changed(name, before)
