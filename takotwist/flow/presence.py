"""Who is here: connections become changes of rosters, which are stored as publishes are.

Rosters are topics with keys (`core.roster`), so that who reads one has replay, the gate, live
delivery and "too old" as every subscriber has, and nothing here has to do with readers.  What a
roster of this node holds is known from the log after a restart: an index, which is a topic with
keys itself, names the topics at which this node has members.

Rules: nothing is stored before the log was read, because who was a member before the restart
and is back must not join again; and what could not be stored is stored later, as it is by then.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from heapq import heappop, heappush
from itertools import count
from typing import Any, Protocol

import attrs
import msgspec
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from takotwist.core.channel import Lifecycle, PresenceRules
from takotwist.core.fanout import FanOut
from takotwist.core.json_values import JsonObject
from takotwist.core.limits import LimitSettings
from takotwist.core.roster import (
    COUNT,
    LEAVE,
    Change,
    Entry,
    Roster,
    View,
    ended,
    read_entry,
    roster_of,
)
from takotwist.core.topic import EVERYTHING, Draft, Message, Topic
from takotwist.errors import (
    BodyInvalid,
    CursorInvalid,
    MessageTooLarge,
    NotFound,
    Refusal,
    StoreUnavailable,
    TransportNotEnabled,
)
from takotwist.flow.authorize import Authorized, AuthorizerService
from takotwist.flow.presence_hooks import PresenceHooks
from takotwist.flow.publish import PublisherService
from takotwist.flow.read_log import MAX_BYTES, PAGE_MESSAGES
from takotwist.flow.session import OnOpen, Session, Subscribed
from takotwist.flow.topic_request import TopicRequest
from takotwist.ports import IReplayLog

#: Seconds after which it is tried again to read or to store.
RETRY_SECONDS = 1.0

#: Seconds after which what nodes that are gone have left is looked for.
LEFT_SECONDS = 10.0

#: How long leaves are kept at least, in milliseconds: a client that is away for less has them.
LEAST_WINDOW_MS = 60_000

#: Not a channel's name.  Topics of it: a node's index, and the names of all nodes.
INDEX = "~presence"


Living = Callable[[], Awaitable[Collection[str] | None]]


class PresenceBounds(Protocol):
    """Bounds of members, named and explained in the configuration."""

    @property
    def max_presence_state_bytes(self) -> int: ...


@attrs.define(slots=True, eq=False)
class _Room:
    """One topic with members of this node.

    :ivar at: when it is looked at next, in seconds.
    :ivar indexed: the index of this node names it, or is about to.
    """

    topic: Topic
    of_roster: Topic
    roster: Roster
    lifecycle: Lifecycle
    at: float | None = None
    indexed: bool = False


class _Indexed(msgspec.Struct):
    channel: str
    params: dict[str, Any]


@attrs.frozen(slots=True)
class RosterPage:
    """A part of the list of who is here.

    :ivar members: entries of members; one may be there for each node.
    :ivar guests: connections that are no members, as far as this page tells.
    :ivar cursor: of the roster: all pages together are the list as of then, and some newer
        entries, which the changes after it bring again.
    :ivar after: where the next page begins; `None` where this is the last.
    """

    members: Sequence[Entry]
    guests: int
    cursor: int
    after: int | None


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
    :ivar hooks: the way to tell the app.
    :ivar told: called with changes that are about to be stored, in the same turn.
    """

    log: IReplayLog
    publishing: PublisherService
    authorizing: AuthorizerService
    fanout: FanOut
    settings: LimitSettings[PresenceBounds]
    seconds: Callable[[], float]
    wall: Callable[[], float]
    later: Callable[..., Any]
    node: str = ""
    nodes: Collection[str] | None = None
    hooks: PresenceHooks | None = None
    told: Callable[[Topic, Sequence[Change]], None] | None = None
    living: Living | None = None
    #: Nodes that had members and were not there at the last look.
    _away: set[str] = attrs.field(factory=set, init=False)
    _rooms: dict[str, _Room] = attrs.field(factory=dict, init=False)
    _heap: list[tuple[float, int, _Room]] = attrs.field(factory=list, init=False)
    _order: count[int] = attrs.field(factory=count, init=False)
    _timer: Any = attrs.field(default=None, init=False)
    _noted: bool = attrs.field(default=False, init=False)
    _ready: bool = attrs.field(default=False, init=False)
    _stopped: bool = attrs.field(default=False, init=False)
    _logger: Logger = attrs.field(factory=Logger, init=False)

    # the server's life

    def start(self) -> Deferred[None]:
        """Read what the log has of an earlier run.  Fires when it is read, or cannot be now;
        then it is tried again."""
        return ensureDeferred(self._start())

    def stop(self) -> None:
        """Store no more: who is cut off by the stop comes back after it."""
        self._stopped = True
        self._ready = False
        if self.hooks is not None:
            self.hooks.stop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _start(self) -> None:
        if self._stopped:
            return
        if not self.log.keyed:
            defined = [one.definition for one in self.authorizing.registry]
            if named := sorted(one.name for one in defined if one.presence is not None):
                self._logger.warn(
                    "presence of {channels} is off: this replay log cannot hold it yet",
                    channels=", ".join(named),
                )
            return
        try:
            for topic in await self._index_of(self.node):
                room = self._room(topic, self._rules(topic.channel))
                room.indexed = True
                # Else nobody would have noticed that it is there after it was taken for dead.
                self._noted = self.living is not None
                for entry in await self._entries(topic, self.node):
                    room.roster.restore(entry, self.seconds())
        except StoreUnavailable:
            self.later(RETRY_SECONDS, self.start)
            return
        except Exception:
            # As it is, who is there is told as if nobody had been there before.
            self._logger.failure("reading who was here failed")
        self._ready = not self._stopped
        if self.hooks is not None:
            # What was not told before the restart.
            self.hooks.wake()
        for room in list(self._rooms.values()):
            self._look(room)
        if self.nodes is not None or self.living is not None:
            # Their members have the grace too, to come to one that is there.
            self.later(LEFT_SECONDS, self._look_for_left)

    def _look_for_left(self) -> None:
        ensureDeferred(self._end_left()).addErrback(self._not_ended)

    async def _end_left(self) -> None:
        there = self.nodes if self.living is None else await self.living()
        if there is not None:
            away = (await self._noted_nodes()).difference(there)
            if self.living is not None:
                # At two looks, so that their members had the grace; and one node is enough.
                before, self._away = self._away, away
                away = away & before if self.node == min(there, default=None) else set()
            for node in sorted(away):
                if not self._stopped:
                    await self.take_over(node, lambda: not self._stopped)
                    await self._note(node, there=False)
        if self.living is not None and not self._stopped:
            self.later(LEFT_SECONDS, self._look_for_left)

    async def _noted_nodes(self) -> set[str]:
        """Nodes that may have members."""
        noted = {
            msgspec.json.decode(message.data, type=str)
            for message in await self._all(_NODES)
            if message.type == "there"
        }
        if self.living is not None and self._noted and self.node not in noted:
            self._say_again()
        return noted

    def _say_again(self) -> None:
        """Another took this node for dead, and has ended what it had stored."""
        self._noted = False
        for room in list(self._rooms.values()):
            room.roster.say_again()
            room.indexed = False
            self._look(room)

    def _not_ended(self, failure: Failure) -> None:
        if not failure.check(Refusal):
            self._logger.failure("ending what a node has left failed", failure)
        if not self._stopped:
            self.later(LEFT_SECONDS, self._look_for_left)

    async def take_over(self, node: str, is_gone: Callable[[], bool]) -> int:
        """End what a node that is gone has left in rosters, unless it has come back by then.

        Two nodes that find out at once do no harm: what is ended twice has ended once.

        :param is_gone: asked for each roster.
        :return: how many entries were ended.
        :raises StoreUnavailable: not all could be; try again.
        """
        number = 0
        for topic in await self._index_of(node):
            left = await self._entries(topic, node)
            if not is_gone():
                return number
            changes = [ended(entry) for entry in left]
            lifecycle = self._lifecycle(topic.channel)
            if changes:
                self._tell(topic, changes)
                await self._append(roster_of(topic), changes, lifecycle)
                number += len(changes)
            await self._index(node, topic, there=False)
        return number

    # connections

    def entered(self, connection: str, admitted: Authorized) -> None:
        """A connection follows a topic of a channel with presence; `left` follows."""
        rules, asked = admitted.asked.definition.presence, admitted.asked
        if asked.roster or rules is None or not self.log.keyed:
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

    def member_of(self, topic: Topic, connection: str) -> str | None:
        """The subject whose connection it is at `topic`."""
        room = self._rooms.get(topic.key)
        return None if room is None else room.roster.subject_of(connection)

    def kick(self, topic: Topic, subject: str) -> list[str]:
        """Take a member of this node out.

        :return: the names of its connections, whose subscriptions are to be ended.
        """
        room = self._rooms.get(topic.key)
        if room is None:
            return []
        connections = room.roster.remove(subject)
        self._look(room)
        return connections

    # the list

    async def everybody(self, topic: Topic) -> list[bytes]:
        """All members, each once: what their rosters say of them.

        :raises StoreUnavailable: the log failed.
        """
        self.check()
        view, newest = View(), {}
        for message in await self._all(roster_of(topic)):
            view.apply(message.id, message.type, message.data)
            if (subject := read_entry(message.data).subject) is not None:
                newest[subject] = message.data
        return [newest[subject] for subject in view.members]

    async def page(
        self, topic: Topic, limit: int, after: int = EVERYTHING, as_of: int = 0
    ) -> RosterPage:
        """A part of who is here, in the order of their newest changes.

        :param limit: most entries.
        :param after: and `as_of`: of the page before, its `after` and `cursor`.
        :raises ReplayTooOld: who left since the first page may be missing; begin again.
        :raises CursorInvalid: no page ended there. :raises StoreUnavailable: the log failed.
        """
        self.check()
        page = await self.log.read(roster_of(topic), after, limit, MAX_BYTES)
        page = page.up_to(max(self.log.head, as_of))
        if as_of > page.head or (after and after > page.head):
            raise CursorInvalid("after: no page ended there.")
        if after:
            page.judge(max(after, as_of))
        members: list[Entry] = []
        guests = 0
        for message in page.messages:
            entry = read_entry(message.data)
            if message.type == COUNT:
                guests += entry.count or 0
            elif message.type != LEAVE:
                members.append(entry)
        more = page.messages[-1].id if page.more and page.messages else None
        return RosterPage(members, guests, as_of or page.head, more)

    def check(self) -> None:
        """:raises TransportNotEnabled: the replay log cannot hold rosters."""
        if not self.log.keyed:
            raise TransportNotEnabled("The server's replay log cannot hold who is here yet.")

    def __len__(self) -> int:
        """Topics with members or guests of this node."""
        return len(self._rooms)

    # storing

    def _room(self, topic: Topic, rules: PresenceRules | None) -> _Room:
        room = self._rooms.get(topic.key)
        if room is None:
            lifecycle = self._lifecycle(topic.channel)
            room = _Room(topic, roster_of(topic), Roster(self.node), lifecycle)
            self._rooms[topic.key] = room
        if rules is not None:
            roster = room.roster
            roster.grace, roster.max_members = rules.grace_ms / 1000, rules.max_members
            roster.counts_all = rules.counts_all
        return room

    def _rules(self, channel: str) -> PresenceRules | None:
        try:
            return self.authorizing.registry.get(channel).definition.presence
        except Refusal:
            # It is not known yet, or not any more; the default grace is as good as another.
            return None

    def _lifecycle(self, channel: str) -> Lifecycle:
        try:
            definition = self.authorizing.registry.get(channel).definition
        except Refusal:
            return Lifecycle()
        window = self.authorizing.lifecycle(definition).replay_window_ms
        return Lifecycle(replay_window_ms=max(window, LEAST_WINDOW_MS))

    def _look(self, room: _Room) -> None:
        """See when there is something to do about it next."""
        if not self._ready:
            return
        due = room.roster.due()
        if due is None:
            if room.roster.empty:
                self._forget(room)
            return
        if room.at is None or due < room.at:
            room.at = due
            heappush(self._heap, (due, next(self._order), room))
            self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            if not self._heap or self._timer.getTime() <= max(self._heap[0][0], self.seconds()):
                return
            self._timer.cancel()
        self._timer = None
        if self._heap:
            self._timer = self.later(max(0.0, self._heap[0][0] - self.seconds()), self._act)

    def _act(self) -> None:
        """The time of some has come."""
        self._timer = None
        now = self.seconds()
        while self._heap and self._heap[0][0] <= now:
            due, _, room = heappop(self._heap)
            if room.at != due:
                continue
            room.at = None
            try:
                room.roster.expire(now)
                changes = room.roster.take(now, self.fanout.size(room.of_roster.key))
                if changes:
                    self._store(room, changes)
                self._look(room)
            except Exception:
                self._logger.failure("storing who is here failed")
        self._arm()

    def _store(self, room: _Room, changes: Sequence[Change]) -> None:
        if not room.indexed:
            room.indexed = True
            self._name(room)
        self._tell(room.topic, changes)
        for kept in (True, False):
            some = [change for change in changes if change.kept is kept]
            if some:
                storing = self._append(room.of_roster, some, room.lifecycle)
                storing.addCallbacks(
                    self._stored,
                    self._failed,
                    callbackArgs=(room, some),
                    errbackArgs=(room, some),
                )

    def _tell(self, topic: Topic, changes: Sequence[Change]) -> None:
        """Tell others than readers of changes that are about to be stored."""
        rules = self._rules(topic.channel)
        if self.told is not None:
            self.told(topic, changes)
        if self.hooks is not None and rules is not None and rules.hooks:
            self.hooks.put(topic, changes)

    def _append(
        self, topic: Topic, changes: Sequence[Change], lifecycle: Lifecycle
    ) -> Deferred[Any]:
        """:param changes: all of them kept, or none."""
        return self.publishing.publish(
            topic,
            [Draft(change.type, change.data) for change in changes],
            lifecycle,
            keys=tuple(change.key for change in changes),
            kept=changes[0].kept,
        )

    def _stored(self, appended: Any, room: _Room, changes: Sequence[Change]) -> None:
        room.roster.stored(changes)
        self._look(room)

    def _failed(self, failure: Failure, room: _Room, changes: Sequence[Change]) -> None:
        if not failure.check(Refusal):
            self._logger.failure("storing who is here failed", failure)
        room.roster.failed(changes, self.seconds() + RETRY_SECONDS)
        self._look(room)

    def _name(self, room: _Room) -> None:
        """Have the index name it: else nobody would look for its members after a restart."""
        if self._rooms.get(room.topic.key) is room and not self._stopped:
            if not self._noted:
                self._noted = True
                self._note(self.node, there=True).addErrback(self._not_noted)
            storing = self._index(self.node, room.topic, there=True)
            storing.addErrback(lambda _: self.later(RETRY_SECONDS, self._name, room))

    def _forget(self, room: _Room) -> None:
        if self._rooms.get(room.topic.key) is room:
            del self._rooms[room.topic.key]
            if room.indexed:
                self._index(self.node, room.topic, there=False).addErrback(lambda failure: None)

    # the index

    def _index(self, node: str, topic: Topic, *, there: bool) -> Deferred[Any]:
        data = msgspec.json.encode(_Indexed(topic.channel, dict(topic.params)))
        return self.publishing.publish(
            _index_topic(node),
            [Draft("there" if there else "empty", data)],
            Lifecycle(replay_window_ms=LEAST_WINDOW_MS),
            keys=(topic.key,),
            kept=there,
        )

    def _note(self, node: str, *, there: bool) -> Deferred[Any]:
        """Have the log know that there is such a node."""
        return self.publishing.publish(
            _NODES,
            [Draft("there" if there else "gone", msgspec.json.encode(node))],
            Lifecycle(replay_window_ms=LEAST_WINDOW_MS),
            keys=(node,),
            kept=there,
        )

    def _not_noted(self, failure: Failure) -> None:
        self._noted = False

    async def _index_of(self, node: str) -> list[Topic]:
        topics = []
        for message in await self._all(_index_topic(node)):
            if message.type == "there":
                said = msgspec.json.decode(message.data, type=_Indexed)
                params: JsonObject = said.params
                topics.append(Topic.of(said.channel, params))
        return topics

    async def _entries(self, topic: Topic, node: str) -> list[Entry]:
        """What the log has of a node's members, and of its count."""
        entries = []
        for message in await self._all(roster_of(topic)):
            entry = read_entry(message.data)
            if message.type != LEAVE and entry.on == node and entry.count != 0:
                entries.append(entry)
        return entries

    async def _all(self, topic: Topic) -> list[Message]:
        messages: list[Message] = []
        after, more = EVERYTHING, True
        while more:
            page = await self.log.read(topic, after, PAGE_MESSAGES, MAX_BYTES)
            messages += page.messages
            more = page.more
            if page.messages:
                after = page.messages[-1].id
        return messages


async def follow_roster(
    session: Session,
    admitted: Authorized,
    cursor: int | None,
    reset_when_stale: bool,
    on_open: OnOpen,
    on_end: Callable[[Refusal], None],
    on_live: Callable[[], None],
) -> Subscribed | None:
    """Follow a roster; see `Session.subscribe`.

    :param cursor: `None` for all who are there.
    :raises TransportNotEnabled: the channel's rosters can only be asked for.
    """
    session.presence.check()
    rules = admitted.asked.definition.presence
    if rules is None or not rules.events:
        raise TransportNotEnabled("The changes of who is here cannot be followed in this channel.")
    return await session.subscribe(
        admitted,
        EVERYTHING if cursor is None else cursor,
        reset_when_stale,
        on_open,
        on_end,
        on_live=on_live,
    )


#: The names of all nodes that had members.
_NODES = Topic.of(INDEX, {})


def _index_topic(node: str) -> Topic:
    return Topic.of(INDEX, {"on": node})
