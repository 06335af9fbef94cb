"""The list of who is here, in pages that change under whoever reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.channel import ChannelDefinition, PresenceRules
from takotwist.core.log import Page
from takotwist.core.roster_messages import COUNT, JOIN, LEAVE, UPDATE, roster_of, say
from takotwist.core.topic import EVERYTHING, Message, Topic
from takotwist.errors import CursorInvalid, ReplayTooOld, TransportNotEnabled
from takotwist.flow.presence_list import PresenceLists, RosterPage, follow_roster
from takotwist.flow.read_log import MAX_BYTES
from takotwist.ports import IReplayLog

ROOM = Topic.of("chat", {"roomId": "a"})


def joined(id: int, subject: str, kind: str = JOIN) -> Message:
    """A message of a member."""
    return Message(roster_of(ROOM), id, kind, say("n1", subject=subject, since=id))


def counted(id: int, node: str, count: int) -> Message:
    """A message of connections that are no members."""
    return Message(roster_of(ROOM), id, COUNT, say(node, count=count))


class _Log:
    """A roster's messages, as a log reads them.

    :ivar ahead: messages that are stored, and not reported yet.
    """

    keyed = True

    def __init__(self, *messages: Message) -> None:
        self.messages = list(messages)
        self.head = 10
        self.stored = 10
        self.removed = 0
        self.asked: list[tuple[str, int, int, int]] = []

    def read(self, topic: Topic, after: int, limit: int, max_bytes: int) -> Deferred[Page]:
        """See `IReplayLog`."""
        self.asked.append((topic.key, after, limit, max_bytes))
        found = [one for one in self.messages if one.id > after]
        page = Page(tuple(found[:limit]), len(found) > limit, self.stored, self.removed)
        return succeed(page)


class PageTests(SynchronousTestCase):
    """`PresenceLists.page`."""

    def setUp(self) -> None:
        self.log = _Log(
            joined(1, "ann"), joined(2, "bob"), joined(3, "eve", UPDATE), joined(4, "joe", LEAVE)
        )

    def page(self, limit: int, after: int = EVERYTHING, as_of: int = 0) -> Deferred[RosterPage]:
        lists = PresenceLists(cast(IReplayLog, self.log))
        return ensureDeferred(lists.page(ROOM, limit, after, as_of))

    def read(self, limit: int, after: int = EVERYTHING, as_of: int = 0) -> RosterPage:
        return self.successResultOf(self.page(limit, after, as_of))

    def names(self, page: RosterPage) -> Sequence[str | None]:
        return [one.subject for one in page.members]

    def test_whole(self) -> None:
        """All who are there, as of the log's head; who has left is not among them."""
        page = self.read(10)
        self.assertEqual(self.names(page), ["ann", "bob", "eve"])
        self.assertEqual((page.cursor, page.after, page.guests), (10, None, 0))
        self.assertEqual(self.log.asked, [(roster_of(ROOM).key, EVERYTHING, 10, MAX_BYTES)])

    def test_guests(self) -> None:
        """Of all nodes together."""
        self.log.messages += [counted(5, "n1", 2), counted(6, "n2", 3)]
        page = self.read(10)
        self.assertEqual((self.names(page), page.guests), (["ann", "bob", "eve"], 5))

    def test_in_pages(self) -> None:
        """Each goes on behind the one before, and all are as of the first."""
        first = self.read(2)
        self.assertEqual((self.names(first), first.after, first.cursor), (["ann", "bob"], 2, 10))
        self.log.head = self.log.stored = 20
        second = self.read(2, 2, first.cursor)
        self.assertEqual((self.names(second), second.after, second.cursor), (["eve"], None, 10))

    def test_changed_meanwhile(self) -> None:
        """What has changed since the first page is in the last, however much it is: a list that
        changes on has an end."""
        self.log.messages += [joined(number, f"new {number}") for number in range(11, 18)]
        self.log.head = self.log.stored = 20
        last = self.read(4, 2, 10)
        self.assertEqual(len(last.members), 1 + 7)
        self.assertEqual((last.after, last.cursor), (None, 10))
        # A page of what was there before stays as long as it may be.
        self.assertEqual(len(self.read(1, 1, 10).members), 1)

    def test_not_reported(self) -> None:
        """What this node has not heard of is told live, and not here."""
        self.log.messages.append(joined(11, "new"))
        self.log.stored = 11
        page = self.read(10)
        self.assertEqual((self.names(page), page.cursor), (["ann", "bob", "eve"], 10))

    def test_of_another_node(self) -> None:
        """A cursor that another node gave out, which is ahead of this one, is good here."""
        self.log.messages.append(joined(11, "new"))
        self.log.stored = 12
        self.assertEqual(self.names(self.read(10, 2, 12)), ["eve", "new"])

    def test_no_page(self) -> None:
        """A place that no page can have ended at."""
        for after, as_of in ((2, 11), (11, 10), (11, 0)):
            self.failureResultOf(self.page(10, after, as_of), CursorInvalid)

    def test_too_old(self) -> None:
        """Where somebody who has left since may be missing one begins again; a beginning is good
        whatever was removed."""
        self.log.removed = 9
        self.assertEqual(self.names(self.read(10)), ["ann", "bob", "eve"])
        self.read(10, 2, 10)
        self.failureResultOf(self.page(10, 2, 8), ReplayTooOld)
        self.log.removed = 12
        self.log.head = self.log.stored = 20
        self.failureResultOf(self.page(10, 2, 10), ReplayTooOld)

    def test_no_rosters(self) -> None:
        """A log without keys has none."""
        self.log.keyed = False
        self.failureResultOf(self.page(10), TransportNotEnabled)
        everybody = PresenceLists(cast(IReplayLog, self.log)).everybody(ROOM)
        self.failureResultOf(ensureDeferred(everybody), TransportNotEnabled)


class _Session:
    """Keeps how it was asked to subscribe."""

    def __init__(self, *, keyed: bool = True) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.presence: Any = self
        self.store = self
        self.log = _Log()
        self.log.keyed = keyed

    async def subscribe(self, *args: Any, on_live: Any) -> None:
        """See `Session`."""
        self.asked.append((*args[1:3], on_live))


class FollowTests(SynchronousTestCase):
    """`follow_roster`."""

    def follow(
        self, session: _Session, cursor: int | None, rules: PresenceRules | None
    ) -> Deferred[Any]:
        admitted: Any = _Session()
        admitted.asked = admitted
        admitted.definition = ChannelDefinition(name="chat", presence=rules)
        of: Any = session
        nothing: Any = None
        return ensureDeferred(follow_roster(of, admitted, cursor, True, nothing, nothing, nothing))

    def test_beginning(self) -> None:
        """Without a cursor from the beginning, which is all who are there; with one from there."""
        session = _Session()
        for cursor in (None, 7):
            self.successResultOf(self.follow(session, cursor, PresenceRules()))
        self.assertEqual(session.asked, [(EVERYTHING, True, None), (7, True, None)])

    def test_refused(self) -> None:
        """Where it can only be asked for, or not even that."""
        for session, rules in (
            (_Session(keyed=False), PresenceRules()),
            (_Session(), None),
            (_Session(), PresenceRules(events=False)),
        ):
            self.failureResultOf(self.follow(session, None, rules), TransportNotEnabled)
            self.assertEqual(session.asked, [])
