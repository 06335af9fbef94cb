"""Roster of one topic: its members, as one node of the server holds them.

Every connection that follows a topic and has a subject is a reference to that member; the
first adds it, and the last to go begins the grace, within which coming back is no change.  What
is wanted here and what the log holds are kept apart: a *change* is the difference between the
two when it is stored, so who joins and leaves between two transactions was never there, and a
cursor that moved a hundred times has moved once.

Rule: no time passes in here but by an argument, in seconds of the caller's clock.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence

import attrs
import msgspec

from takotwist.core.roster_member import NEW, Member
from takotwist.core.roster_messages import (
    COUNT,
    JOIN,
    LEAVE,
    UPDATE,
    Change,
    Entry,
    key_of,
    read_entry,
    say,
)

#: In the place of a count that the log may hold, or not.
UNKNOWN = -1

#: Nobody waits longer than so many seconds to be seen, whatever it costs.
MAX_INTERVAL = 5.0


@attrs.frozen(slots=True)
class Pace:
    """Rate at which a roster is stored and told to its readers.

    :ivar interval: seconds between two transactions at least.
    :ivar count_interval: and between two of its count, which changes with every visitor.
    :ivar deliveries: most changes that are delivered in a second, each to each reader.  Where
        more would be, the next transaction is later by as much: so what a roster costs does not
        grow with the square of its members, and up to a few hundred that do nothing special
        there is no delay.
    """

    interval: float = 0.1
    count_interval: float = 1.0
    deliveries: float = 100_000


DEFAULT_PACE = Pace()


@attrs.define(slots=True, eq=False)
class Roster:
    """The members of one topic on this node.

    :ivar node: this node's name in messages; nothing where the log belongs to one process.
    :ivar max_members: who comes when there are so many is counted, and is no member.
    :ivar counts_all: nobody is a member: all are counted.
    :ivar grace: seconds.
    """

    node: str = ""
    max_members: int = 1_000
    counts_all: bool = False
    grace: float = 10.0
    members: dict[str, Member] = attrs.field(factory=dict, init=False)
    guests: set[str] = attrs.field(factory=set, init=False)
    _subjects: dict[str, str] = attrs.field(factory=dict, init=False)
    #: Connections that have said something.
    _spoken: set[str] = attrs.field(factory=set, init=False)
    #: Members that are waited for, longest first.
    _waiting: dict[str, None] = attrs.field(factory=dict, init=False)
    _changed: dict[str, None] = attrs.field(factory=dict, init=False)
    _under_way: dict[str, Change] = attrs.field(factory=dict, init=False)
    #: Keys of changes under way that another node has ended, or not: see `say_again`.
    _overtaken: set[str] = attrs.field(factory=set, init=False)
    _head: int = attrs.field(default=0, init=False)
    _count_stored: int = attrs.field(default=0, init=False)
    _next: float = attrs.field(default=0.0, init=False)
    _next_count: float = attrs.field(default=0.0, init=False)

    # who comes and goes

    def restore(self, entry: Entry, now: float) -> None:
        """The log holds this entry of an earlier run of this node: it is waited for."""
        if entry.count is not None:
            self._count_stored = entry.count
            self._next_count = now + self.grace
        if entry.subject is None:
            return
        member = self.members.get(entry.subject)
        if member is None:
            member = self.members[entry.subject] = Member(
                entry.since, entry.info, entry.state, entry.info_id, entry.state_id, gone_at=now
            )
            self._waiting[entry.subject] = None
        else:
            # They came back while the log was read, or it was read before and went away.
            if member.gone_at is not None:
                # So long nobody could come back.
                member.gone_at = now
                self._waiting[entry.subject] = self._waiting.pop(entry.subject)
            member.since = entry.since
            member.adopt(entry)
            self._changed[entry.subject] = None
        member.stored = self._data(entry.subject, entry)

    @property
    def under_way(self) -> list[str | None]:
        """Subjects of what is being stored; `None` of the count."""
        return [change.subject for change in self._under_way.values()]

    def reconcile(self, entries: Sequence[Entry], but: Container[str | None], now: float) -> None:
        """The log holds these of this node, whoever stored them under its name.

        :param but: subjects of which something may have been stored since they were read; `None`
            of the count.
        """
        if None not in but:
            counts = [entry.count for entry in entries if entry.count is not None]
            self._count_stored = sum(counts)
        told = {entry.subject: entry for entry in entries if entry.subject is not None}
        for subject, entry in told.items():
            if subject in but:
                continue
            if subject not in self.members:
                self.restore(entry, now)
                continue
            member, data = self.members[subject], self._data(subject, entry)
            member.adopt(entry)
            if member.stored != data:
                member.stored = data
                self._changed[subject] = None
        for subject, member in self.members.items():
            if member.stored is not None and subject not in told and subject not in but:
                member.stored = None
                self._changed[subject] = None

    def enter(self, connection: str, subject: str | None, info: bytes | None, now_ms: int) -> None:
        """A connection has come; `leave` follows once.

        :param info: of the app, JSON.
        """
        if subject is None or self.counts_all:
            self.guests.add(connection)
            return
        member = self.members.get(subject)
        if member is None:
            if self._full:
                self.guests.add(connection)
                return
            member = self.members[subject] = Member(now_ms)
        # Where its leave is not stored yet it has not gone.
        # It may have been one too many, before others went.
        self.guests.discard(connection)
        member.connections.add(connection)
        member.gone_at = None
        self._waiting.pop(subject, None)
        self._subjects[connection] = subject
        if info is not None and info != member.info:
            member.info, member.info_id = info, NEW
        self._changed[subject] = None

    def leave(self, connection: str, now: float, *, for_good: bool) -> None:
        """A connection has gone.  Harmless when it is not known.

        :param for_good: it said so, or was told to: nobody waits for it.
        """
        self.guests.discard(connection)
        self._spoken.discard(connection)
        subject = self._subjects.pop(connection, None)
        if subject is None:
            return
        member = self.members[subject]
        member.connections.discard(connection)
        if member.connections:
            return
        if for_good or self.grace <= 0:
            self._changed[subject] = None
        else:
            member.gone_at = now
            self._waiting[subject] = None

    def remove(self, subject: str) -> None:
        """Take a member out at once; its connections are to be ended."""
        member = self.members.get(subject)
        if member is None:
            return
        for connection in member.connections:
            del self._subjects[connection]
            self._spoken.discard(connection)
        member.connections.clear()
        member.gone_at = None
        self._waiting.pop(subject, None)
        self._changed[subject] = None

    def update(self, connection: str, state: bytes | None) -> bool:
        """A member says something of itself; the newest of all its connections counts.

        What a connection says first may be what its client said before it was cut off: it is new
        where it differs.  What it says later is.

        :return: whether the connection is a member's.
        """
        subject = self._subjects.get(connection)
        if subject is None:
            return False
        member = self.members[subject]
        if state != member.state or connection in self._spoken:
            member.state, member.state_id = state, NEW
            self._changed[subject] = None
        self._spoken.add(connection)
        return True

    def subject_of(self, connection: str) -> str | None:
        """The member whose connection it is."""
        return self._subjects.get(connection)

    # what the log is to hold

    def say_again(self) -> None:
        """Mark this node's entries in the log as ended by another node: they are stored anew."""
        self._count_stored = UNKNOWN
        # Before or after those were stored.
        self._overtaken.update(self._under_way)
        for subject, member in self.members.items():
            # Not all of it, where this node has stored something in between.
            member.stored, member.doubtful = None, True
            self._changed[subject] = None

    def due(self) -> float | None:
        """The next moment with work: to drop a member that did not return, or to store.

        `None`: nothing.  While changes are under way it waits for them.
        """
        moments = []
        if not self._under_way:
            if self._changed:
                moments.append(self._next)
            if len(self.guests) != self._count_stored:
                moments.append(max(self._next_count, self._next))
        for subject in self._waiting:
            gone_at = self.members[subject].gone_at
            assert gone_at is not None
            moments.append(gone_at + self.grace)
            break
        return min(moments, default=None)

    def expire(self, now: float) -> None:
        """Let go of those whose grace is over."""
        for subject in list(self._waiting):
            member = self.members[subject]
            assert member.gone_at is not None
            if member.gone_at + self.grace > now:
                return
            member.gone_at = None
            del self._waiting[subject]
            self._changed[subject] = None

    def take(
        self, now: float, readers: int, pace: Pace = DEFAULT_PACE, head: int = 0
    ) -> list[Change]:
        """The changes to be stored now; `stored` or `failed` follows for each.

        :param readers: how many are told of them.
        :param head: the newest id of the log: theirs are greater.
        """
        if self._under_way:
            return []
        self._head = head
        changes: list[Change] = []
        if self._changed and now >= self._next:
            changes += self._differences()
            self._changed = {}
        if len(self.guests) != self._count_stored and now >= max(self._next_count, self._next):
            changes.append(self._count())
            self._next_count = now + pace.count_interval
        self._under_way = {change.key: change for change in changes}
        if changes:
            cost = len(changes) * readers / pace.deliveries
            self._next = now + min(max(pace.interval, cost), MAX_INTERVAL)
        return changes

    def stored(self, changes: Iterable[Change], ids: Iterable[int]) -> None:
        """These of what was taken are in the log.

        :param ids: of their messages.
        """
        for change, message_id in zip(changes, ids, strict=True):
            del self._under_way[change.key]
            if change.key in self._overtaken:
                self._unknown(change, message_id)
                continue
            entry = read_entry(change.data)
            if change.subject is None:
                self._count_stored = entry.count or 0
                continue
            member = self.members[change.subject]
            member.stored = self._data(change.subject, entry) if change.kept else None
            member.doubtful = False
            member.settle(message_id)
            self._forget(change.subject, member)

    def failed(self, changes: Iterable[Change], again: float) -> None:
        """These may not be: they are taken again, not before `again`."""
        self._next = max(self._next, again)
        for change in changes:
            del self._under_way[change.key]
            # It may have been stored, so what others have said since is newer.
            self._unknown(change, self._head + 1)

    def _unknown(self, change: Change, id: int) -> None:
        """The log may hold it, or not.

        :param id: of its message, or one before which no message has it.
        """
        self._overtaken.discard(change.key)
        if change.subject is None:
            self._count_stored = UNKNOWN
            return
        self._changed[change.subject] = None
        member = self.members[change.subject]
        member.doubtful = True
        member.settle(id)

    @property
    def empty(self) -> bool:
        """Nobody is here, nobody is waited for, and the log knows it."""
        return not (self.members or self.guests or self._count_stored or self._under_way)

    def _differences(self) -> Iterator[Change]:
        for subject in self._changed:
            member = self.members.get(subject)
            if member is None:
                continue
            # Who is alone with the log has nobody whose state would be the older one now.
            is_new = member.doubtful or (bool(self.node) and member.new)
            if member.here and (is_new or self._data(subject, member) != member.stored):
                kind = JOIN if member.stored is None else UPDATE
                data = self._data(subject, member, with_ids=bool(self.node))
                yield Change(key_of(self.node, subject), kind, data, True, subject)
                member.take()
            elif not member.here and (member.stored is not None or member.doubtful):
                data = say(self.node, subject=subject)
                yield Change(key_of(self.node, subject), LEAVE, data, False, subject)
            else:
                self._forget(subject, member)

    @property
    def _full(self) -> bool:
        """There is no place for one more member."""
        over = len(self.members) - self.max_members
        if over < 0:
            return False
        # Whose leave is yet to be stored has given the place back; and for those that come then
        # there is no second look.
        leaving = {*self._changed, *(one.subject or "" for one in self._under_way.values())}
        return over >= sum(not self.members[one].here for one in leaving if one in self.members)

    def _forget(self, subject: str, member: Member) -> None:
        if not member.here and member.stored is None and not member.doubtful:
            del self.members[subject]

    def _count(self) -> Change:
        count = len(self.guests)
        data = say(self.node, count=count)
        return Change(self.node, COUNT, data, count > 0, None)

    def _data(self, subject: str, of: Member | Entry, *, with_ids: bool = False) -> bytes:
        said: dict[str, object] = {"subject": subject, "since": of.since}
        for name, value, its in (("info", of.info, of.info_id), ("state", of.state, of.state_id)):
            if value is not None:
                said[name] = msgspec.Raw(value)
                if with_ids and its != NEW:
                    said[f"{name}Id"] = str(its)
        return say(self.node, **said)
