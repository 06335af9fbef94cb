"""Presence: connections become changes of rosters, which are stored as publishes are.

Rosters are topics with keys (`core.roster`), so that who reads one has replay, the gate, live
delivery and "too old" as every subscriber has, and nothing here has to do with readers.  What a
roster of this node holds is known from the log after a restart (`flow.presence_store`).

Rules: nothing is stored before the log was read, because who was a member before the restart
and is back must not join again; and what could not be stored is stored later, as it is by then.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

import attrs
import msgspec
from twisted.internet.defer import Deferred, ensureDeferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from takotwist.core.channel import Lifecycle, PresenceRules
from takotwist.core.fanout import FanOut
from takotwist.core.limits import LimitSettings
from takotwist.core.log import Appended
from takotwist.core.roster import Pace, Roster
from takotwist.core.roster_messages import Change, roster_of
from takotwist.core.topic import Topic
from takotwist.errors import (
    BodyInvalid,
    MessageTooLarge,
    NotFound,
    Refusal,
    StoreUnavailable,
    VerifyRejected,
)
from takotwist.flow.authorize import Authorized
from takotwist.flow.moments import Moments
from takotwist.flow.presence_nodes import DeadNodes, Living
from takotwist.flow.presence_store import RosterStore
from takotwist.flow.topic_request import TopicRequest

#: Seconds after which it is tried again to read or to store.
RETRY_SECONDS = 1.0

#: Seconds after the start at which the log is read once more: the one before in a rolling restart
#: has stopped by then.
COMPARE_SECONDS = 10.0


class PresenceBounds(Protocol):
    """Bounds of members, named and explained in the configuration."""

    @property
    def max_presence_state_bytes(self) -> int: ...
    @property
    def presence_interval_seconds(self) -> float: ...
    @property
    def presence_count_interval_seconds(self) -> float: ...
    @property
    def presence_deliveries_per_second(self) -> int: ...


@attrs.define(slots=True, eq=False)
class _Room:
    """One topic with members of this node.

    :ivar at: when it is looked at next, in seconds.
    :ivar indexed: the index of this node names it, or is about to.
    :ivar touched: while the log is compared with it: of whom something was stored since, or is.
    """

    topic: Topic
    of_roster: Topic
    roster: Roster
    lifecycle: Lifecycle
    at: float | None = None
    indexed: bool = False
    touched: set[str | None] | None = None


@attrs.define(slots=True, eq=False)
class PresenceService:
    """Presence of all topics with connections on this node.

    :ivar seconds: a clock for durations.
    :ivar wall: unix time in seconds.
    :ivar later: calls a function after so many seconds, and can be cancelled.
    :ivar node: this node's name, the same after a restart; nothing where it has its log alone.
        No space may be in it.
    :ivar nodes: the names of all that this node answers for: what others than these have left
        in the log is ended, as of a server that had more workers once.  `None` where another
        node looks after that.
    :ivar living: where nodes come and go, gives the names of those that are there, or `None`
        while that is not certain: what others have left is ended, by one of these.
    :ivar dead_nodes: ends it.
    """

    store: RosterStore
    fanout: FanOut
    settings: LimitSettings[PresenceBounds]
    seconds: Callable[[], float]
    wall: Callable[[], float]
    later: Callable[..., IDelayedCall]
    node: str = ""
    nodes: Collection[str] | None = None
    living: Living | None = None
    dead_nodes: DeadNodes = attrs.field(init=False)
    _rooms: dict[str, _Room] = attrs.field(factory=dict, init=False)
    _moments: Moments[_Room] = attrs.field(init=False)
    _ready: bool = attrs.field(default=False, init=False)
    #: Until then nothing is forgotten: the index would be without what is to be found by it.
    _is_compared: bool = attrs.field(default=False, init=False)
    _stopped: bool = attrs.field(default=False, init=False)
    _logger: Logger = attrs.field(factory=Logger, init=False)

    def __attrs_post_init__(self) -> None:
        self._moments = Moments(self.seconds, self.later, self._act)
        self.dead_nodes = DeadNodes(
            self.store, self.node, self.nodes, self.living, self.later, self._say_again
        )

    # the server's life

    def start(self) -> Deferred[None]:
        """Read what the log has of an earlier run.  Fires when it is read, or cannot be now;
        then it is tried again."""
        return ensureDeferred(self._start())

    def stop(self) -> None:
        """Store no more: who is cut off by the stop comes back after it."""
        self._stopped = True
        self._ready = False
        self.dead_nodes.stop()
        self.store.events.stop()
        self._moments.stop()

    async def _start(self) -> None:
        if self._stopped:
            return
        if not self.store.log.keyed:
            defined = [one.definition for one in self.store.authorizing.registry]
            if named := sorted(one.name for one in defined if one.presence is not None):
                self._logger.warn(
                    "presence of {channels} is off: this replay log cannot hold it yet",
                    channels=", ".join(named),
                )
            return
        try:
            for topic in await self.store.indexed(self.node):
                room = self._room(topic, self.store.rules(topic.channel))
                room.indexed = True
                self.dead_nodes.restored()
                for entry in await self.store.entries(topic, self.node):
                    room.roster.restore(entry, self.seconds())
        except StoreUnavailable:
            self.later(RETRY_SECONDS, self.start)
            return
        except Exception:
            # As it is, who is there is told as if nobody had been there before.
            self._logger.failure("reading who was here failed")
        if self._stopped:
            # Meanwhile: what was stopped with this must not begin after that.
            return
        self._ready = True
        self.store.events.start()
        for room in list(self._rooms.values()):
            self._look(room)
        self.dead_nodes.start()
        # A node that has its log alone has had no other beside it.
        self._is_compared = not self.node
        if self.node:
            self.later(COMPARE_SECONDS, self._compare)

    def _compare(self) -> None:
        if not self._stopped:
            ensureDeferred(self._compared()).addErrback(self._not_compared)

    async def _compared(self) -> None:
        """Compare what the log has of this node with what it has stored.

        In a rolling restart the one before has the same name, and goes on until this one is
        ready: what it stored after this one had read the log nobody else would ever end, and
        what it ended would be missing.
        """
        indexed = {topic.key: topic for topic in await self.store.indexed(self.node)}
        for room in list(self._rooms.values()):
            if room.indexed and room.topic.key not in indexed:
                self._name(room)
                indexed[room.topic.key] = room.topic
        for topic in indexed.values():
            room = self._room(topic, self.store.rules(topic.channel))
            room.indexed, room.touched = True, set(room.roster.under_way)
            try:
                entries = await self.store.entries(topic, self.node)
                room.roster.reconcile(entries, room.touched, self.seconds())
            finally:
                room.touched = None
        self._is_compared = True
        for room in list(self._rooms.values()):
            self._look(room)

    def _not_compared(self, failure: Failure) -> None:
        if not failure.check(Refusal):
            self._logger.failure("comparing who is here with the log failed", failure)
        if not self._stopped:
            self.later(COMPARE_SECONDS, self._compare)

    def _say_again(self) -> None:
        for room in list(self._rooms.values()):
            room.roster.say_again()
            room.indexed = False
            self._look(room)

    # connections

    def entered(self, connection: str, admitted: Authorized) -> None:
        """A connection follows a topic of a channel with presence; `left` follows."""
        rules, asked = admitted.asked.definition.presence, admitted.asked
        if asked.roster or rules is None or not self.store.log.keyed:
            return
        grant, room = admitted.grant, self._room(asked.topic, rules)
        info = None if grant.info is None else msgspec.json.encode(grant.info)
        room.roster.enter(connection, grant.subject, info, int(self.wall() * 1000))
        self._look(room)

    def left(self, connection: str, admitted: Authorized, *, for_good: bool) -> None:
        """It does not any more.  Harmless when repeated.

        :param for_good: somebody decided that; else it may come back.
        """
        room = self._rooms.get(admitted.asked.topic.key)
        if room is not None:
            room.roster.leave(connection, self.seconds(), for_good=for_good)
            self._look(room)

    def renewed(self, connection: str, before: Authorized, after: Authorized) -> None:
        """It has new credentials."""
        if before.grant.subject != after.grant.subject:
            self.left(connection, before, for_good=True)
        self.entered(connection, after)

    def update(self, asked: TopicRequest, connection: str, state: bytes) -> None:
        """A member says something of itself, with this connection.

        :param state: one JSON value.
        :raises BodyInvalid: it does not fit. :raises MessageTooLarge: it is.
        :raises NotFound: the connection is no member's.
        """
        rules = asked.definition.presence
        most = self.settings.limits.max_presence_state_bytes
        if len(state) > most:
            raise MessageTooLarge(f"state has {len(state)} bytes; at most {most} are taken.")
        if rules is not None and rules.state is not None:
            try:
                rules.state.check(state)
            except BodyInvalid as misfit:
                raise BodyInvalid("state" + misfit.sentence.removeprefix("data")) from None
        room = self._rooms.get(asked.topic.key)
        if room is None or not room.roster.update(connection, state):
            raise NotFound("This connection is no member's: it has no subject, or does not follow.")
        self._look(room)

    def update_as(
        self, asked: TopicRequest, connection: str, subject: str | None, state: bytes
    ) -> None:
        """As `update`, where somebody names the connection who may not be its owner.

        :param subject: who they are; `None` for who may speak for anybody.
        :raises VerifyRejected: the connection is another's.
        """
        room = self._rooms.get(asked.topic.key)
        owner = None if room is None else room.roster.subject_of(connection)
        if owner is None:
            raise NotFound("connection: there is none of this name here that is a member's.")
        if subject is not None and owner != subject:
            raise VerifyRejected("connection: it is somebody else's.")
        self.update(asked, connection, state)

    def kick(self, topic: Topic, subject: str) -> None:
        """Take a member of this node out; its subscriptions are to be ended as well."""
        room = self._rooms.get(topic.key)
        if room is not None:
            room.roster.remove(subject)
            self._look(room)

    def __len__(self) -> int:
        """Topics with members or guests of this node."""
        return len(self._rooms)

    # storing

    def _room(self, topic: Topic, rules: PresenceRules | None) -> _Room:
        room = self._rooms.get(topic.key)
        if room is None:
            lifecycle = self.store.lifecycle(topic.channel)
            room = _Room(topic, roster_of(topic), Roster(self.node), lifecycle)
            self._rooms[topic.key] = room
        if rules is not None:
            roster = room.roster
            roster.grace, roster.max_members = rules.grace_ms / 1000, rules.max_members
            roster.counts_all = rules.counts_all
        return room

    def _look(self, room: _Room) -> None:
        """See when there is something to do about it next."""
        if not self._ready:
            return
        due = room.roster.due()
        if due is None:
            if room.roster.empty and self._is_compared:
                self._forget(room)
            return
        self._moments.at(room, due)

    def _act(self, room: _Room) -> None:
        """Its time has come."""
        now, limits = self.seconds(), self.settings.limits
        pace = Pace(
            limits.presence_interval_seconds,
            limits.presence_count_interval_seconds,
            limits.presence_deliveries_per_second,
        )
        changes: Sequence[Change] = ()
        try:
            room.roster.expire(now)
            readers = self.fanout.size(room.of_roster.key)
            changes = room.roster.take(now, readers, pace, self.store.log.head)
            if changes:
                self._announce(room, changes)
        except Exception:
            self._logger.failure("storing who is here failed")
            # What is not looked at again would stay as it is until somebody comes or goes.
            room.roster.failed(changes, now + RETRY_SECONDS)
            self._moments.at(room, now + RETRY_SECONDS)
            return
        for kept in (True, False):
            some = [change for change in changes if change.kept is kept]
            if some:
                storing = maybeDeferred(self.store.append, room.topic, some, room.lifecycle)
                storing.addCallbacks(
                    self._stored,
                    self._failed,
                    callbackArgs=(room, some),
                    errbackArgs=(room, some),
                )
        self._look(room)

    def _announce(self, room: _Room, changes: Sequence[Change]) -> None:
        """Say what else is to be known of changes that are about to be stored."""
        if not room.indexed:
            room.indexed = True
            self._name(room)
        if room.touched is not None:
            room.touched.update(change.subject for change in changes)
        self.store.tell(room.topic, changes)

    def _stored(self, appended: Appended, room: _Room, changes: Sequence[Change]) -> None:
        room.roster.stored(changes, [message.id for message in appended.messages])
        self._look(room)

    def _failed(self, failure: Failure, room: _Room, changes: Sequence[Change]) -> None:
        if not failure.check(Refusal):
            self._logger.failure("storing who is here failed", failure)
        room.roster.failed(changes, self.seconds() + RETRY_SECONDS)
        self._look(room)

    def _name(self, room: _Room) -> None:
        """Have the index name it: else nobody would look for its members after a restart."""
        if self._rooms.get(room.topic.key) is room and not self._stopped:
            self.dead_nodes.note()
            storing = self.store.index(self.node, room.topic, there=True)
            storing.addErrback(lambda _: self.later(RETRY_SECONDS, self._name, room))

    def _forget(self, room: _Room) -> None:
        if self._rooms.get(room.topic.key) is room:
            del self._rooms[room.topic.key]
            if room.indexed:
                self.store.index(self.node, room.topic, there=False).addErrback(
                    lambda failure: None
                )
