"""The other nodes of a server, for one app: told and heard by topics of the log that all share.

Who follows what on a node is known to all (`flow.node_states`), so a list of members is that of
all nodes.  What is not stored is delivered by every node to its own connections.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import partial
from typing import Protocol

import attrs
import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from takotwist.core.log import Appended
from takotwist.core.topic import Draft, Topic
from takotwist.errors import Refusal
from takotwist.flow.attach import Attacher
from takotwist.flow.listening import Listening
from takotwist.flow.node_states import LIFECYCLE, NodeStates
from takotwist.flow.publish import PublisherService

#: Not a channel's name.
CHANNEL = "~pusher"


class Away(msgspec.Struct, frozen=True):
    """The followers of one channel on one node, as the others know them.

    :ivar count: of connections.
    :ivar members: by user; what the app shows of each.
    """

    count: int
    members: dict[str, msgspec.Raw] = {}


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


Said = Deliver | LeaveOut | Terminate
_SAID: msgspec.json.Decoder[Said] = msgspec.json.Decoder(Said)
_AWAY = msgspec.json.Decoder(Away)


class ChannelsHere(Protocol):
    """The channels of an app, as far as the other nodes need them."""

    def here(self) -> Iterable[str]: ...
    def state_here(self, name: str) -> Away | None: ...
    def members(self, name: str) -> Mapping[str, msgspec.Raw]: ...
    def elsewhere_changed(self, name: str, before: Mapping[str, msgspec.Raw]) -> None: ...


class UsersHere(Protocol):
    """Its users who have signed in, likewise."""

    def here(self) -> Collection[str]: ...
    def elsewhere_changed(self, user_id: str) -> None: ...
    def terminate_here(self, user_id: str) -> None: ...


class AppHere(Protocol):
    """An app on this node, as far as the other nodes need it."""

    @property
    def channels(self) -> ChannelsHere: ...
    @property
    def users(self) -> UsersHere: ...

    def deliver(self, name: str, payload: bytes) -> None: ...
    def expect(self, said: LeaveOut) -> None: ...


@attrs.define(slots=True, eq=False)
class OtherNodes:
    """The other nodes, for one app.

    Made before the app's parts, which ask it what there is elsewhere; it knows them by `start`.

    :ivar node: the name of this process, which no other has.
    :ivar app: its name.
    :ivar watchlists: users of other nodes are known, too.
    """

    node: str
    app: str
    watchlists: bool
    publishing: PublisherService
    attacher: Attacher
    _channels: dict[str, dict[str, Away]] = attrs.field(factory=dict, init=False)
    _signed_in: dict[str, set[str]] = attrs.field(factory=dict, init=False)
    _topic: Topic = attrs.field(init=False)
    _listening: Listening | None = attrs.field(default=None, init=False)
    _states: NodeStates | None = attrs.field(default=None, init=False)
    #: Users of other nodes, where somebody watches them.
    _users: NodeStates | None = attrs.field(default=None, init=False)
    _log: Logger = attrs.field(factory=Logger, init=False)

    def __attrs_post_init__(self) -> None:
        self._topic = Topic.of(CHANNEL, {"app": self.app})

    def start(self, here: AppHere) -> None:
        """Begin to listen, and to say what is on this node."""
        self._listening = Listening(
            self.attacher,
            self.publishing.flush_batch,
            self._topic,
            LIFECYCLE,
            partial(self._take, here),
            lambda: None,
        )
        self._listening.start()
        self._states = NodeStates(
            self.node,
            f"pusher {self.app}",
            here.channels.here,
            partial(_state_here, here.channels),
            partial(self._state, here.channels),
            self.publishing,
            self.attacher,
        )
        self._states.start()
        if self.watchlists:
            users = here.users
            self._users = NodeStates(
                self.node,
                f"pusher users {self.app}",
                users.here,
                lambda user_id: b"1" if user_id in users.here() else None,
                partial(self._user, users),
                self.publishing,
                self.attacher,
            )
            self._users.start()

    def stop(self) -> None:
        """Say nothing more; what was here is forgotten when it has been silent."""
        for one in (self._listening, self._states, self._users):
            if one is not None:
                one.stop()

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

    def _state(self, here: ChannelsHere, node: str, name: str, state: msgspec.Raw | None) -> None:
        before = here.members(name)
        own = self._channels.setdefault(node, {})
        if state is not None:
            own[name] = _AWAY.decode(state)
        else:
            own.pop(name, None)
            if not own:
                del self._channels[node]
        here.elsewhere_changed(name, before)

    def online(self, user_id: str) -> bool:
        """Tell whether a user has signed in on another node; known where there are watchlists."""
        return user_id in self._signed_in

    def _user(self, here: UsersHere, node: str, user_id: str, state: msgspec.Raw | None) -> None:
        nodes = self._signed_in.setdefault(user_id, set())
        (nodes.discard if state is None else nodes.add)(node)
        if not nodes:
            del self._signed_in[user_id]
        here.elsewhere_changed(user_id)

    # what we say

    def say(self, said: Said) -> Deferred[Appended | None]:
        """Tell the others.

        :return: fires when they hear it before whatever is published from then on; or when it
            could not be said.
        """
        draft = Draft("said", msgspec.json.encode(said))
        saying = self.publishing.publish(self._topic, [draft], LIFECYCLE)
        return saying.addErrback(self._not_said)

    def _not_said(self, failure: Failure) -> None:
        if not failure.check(Refusal):
            self._log.failure("telling the other nodes failed", failure)

    def user_changed(self, user_id: str) -> None:
        """A user has signed in here, or gone."""
        if self._users is not None:
            self._users.changed(user_id)

    def changed(self, name: str) -> None:
        """Something has changed in a channel here."""
        if self._states is not None:
            self._states.changed(name)

    # what we hear

    def _take(self, here: AppHere, kind: str, data: bytes) -> None:
        said = _SAID.decode(data)
        if said.node == self.node:
            return
        if isinstance(said, Deliver):
            here.deliver(said.name, said.frame.encode())
        elif isinstance(said, LeaveOut):
            here.expect(said)
        else:
            here.users.terminate_here(said.user_id)


def _state_here(here: ChannelsHere, name: str) -> bytes | None:
    state = here.state_here(name)
    return None if state is None else msgspec.json.encode(state)
