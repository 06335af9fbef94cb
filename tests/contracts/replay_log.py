"""What every replay log promises, as tests that any of them can be put to.

Mix `ReplayLogContract` into a test case that says how its log is made.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from zope.interface import implementer
from zope.interface.verify import verifyObject

from takotwist.core.channel import Lifecycle
from takotwist.core.log import Append, Appended, Page, Report
from takotwist.core.topic import EVERYTHING, NEWEST, Draft, Topic
from takotwist.errors import CursorInvalid, ReplayTooOld, StoreUnavailable
from takotwist.ports import ILogFollower, IReplayLog
from tests.contracts.replay_log_model import ModelLog

SECOND = 1_000_000
DAY = 24 * 3600 * SECOND
NOW = 1_763_700_000 * SECOND

LOBBY = Topic.of("chat", {"roomId": "lobby"})
KITCHEN = Topic.of("chat", {"roomId": "kitchen"})


def entry(
    topic: Topic, *texts: str, lifecycle: Lifecycle | None = None, key: str | None = None
) -> Append:
    """An append of one message a text."""
    drafts = tuple(Draft("msg", b'"%s"' % text.encode()) for text in texts)
    return Append(topic, drafts, lifecycle or Lifecycle(), key)


TOPICS = [LOBBY, KITCHEN, Topic.of("news", {})]

LIFECYCLES = st.builds(
    Lifecycle,
    replay_window_ms=st.sampled_from([0, 1, 50, 600_000]),
    inactivity_ttl_ms=st.sampled_from([0, 0, 1, 80, 5_000]),
    replay_max_messages=st.sampled_from([1, 3, 10_000]),
    replay_max_bytes=st.sampled_from([1024, 2**24]),
)

APPENDS = st.builds(
    lambda topic, sizes, lifecycle, key: Append(
        topic, tuple(Draft("msg", b"x" * size) for size in sizes), lifecycle, key
    ),
    st.sampled_from(TOPICS),
    st.lists(st.sampled_from([1, 300, 900, 2000]), min_size=1, max_size=4),
    LIFECYCLES,
    st.sampled_from([None, None, "k1", "k2"]),
)

#: How the clock moves before a step, in microseconds: mostly on, now and then back.
MOVES = st.sampled_from([0, 1, 1, 30_000, 90_000, 10 * SECOND, DAY + 1, -40_000, -3600 * SECOND])

Steps = list[tuple[str, int, Any]]


def steps_of(appends: st.SearchStrategy[Append]) -> st.SearchStrategy[Steps]:
    """What may happen to a log."""
    return st.lists(
        st.one_of(
            st.tuples(st.just("append"), MOVES, st.lists(appends, min_size=1, max_size=3)),
            st.tuples(
                st.just("sweep"), MOVES, st.sets(st.sampled_from([topic.key for topic in TOPICS]))
            ),
            st.tuples(st.just("restart"), MOVES, st.none()),
        ),
        max_size=25,
    )


@implementer(ILogFollower)
class Listener:
    """Takes down what a log reports.

    :ivar texts: of the messages, by topic.
    :ivar keys: as the log tells them apart, likewise.
    :ivar heads: of the reports.
    """

    def __init__(self, log: IReplayLog) -> None:
        self.log = log
        self.texts: dict[str, list[str]] = {}
        self.keys: dict[str, list[str | None]] = {}
        self.heads: list[int] = []
        self.skipped: list[Collection[str] | None] = []

    def reported(self, report: Report) -> None:
        """See `ILogFollower`."""
        assert self.log.head == report.head, "reported in another turn than the head rose"
        assert not self.heads or report.head >= self.heads[-1]
        self.heads.append(report.head)
        if report.skipped != ():
            self.skipped.append(report.skipped)
        for topic in report.topics:
            keys = self.keys.setdefault(topic.key, [])
            keys += topic.keys
            keys += [None] * (len(topic.messages) - len(topic.keys))
            texts = self.texts.setdefault(topic.key, [])
            texts += [one.data.decode()[1:-1] for one in topic.messages]

    def settled(self) -> None:
        """See `ILogFollower`."""


class ReplayLogContract:
    """The tests.  Each one begins with a running log whose clock stands at `NOW`."""

    def make_log(self, clock: Clock) -> IReplayLog:
        """A new, empty log, not started."""
        raise NotImplementedError

    def make_again(self, log: IReplayLog, clock: Clock) -> IReplayLog:
        """The log that a new start of the server finds, once `log` has stopped."""
        raise NotImplementedError

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.clock.advance(NOW / SECOND)
        self.log = self.make_log(self.clock)
        self.successResultOf(self.log.start())
        self.addCleanup(lambda: self.log.stop())

    def test_available(self) -> None:
        """It is there from its start to its stop."""
        self.assertTrue(self.log.available)
        self.successResultOf(self.log.stop())
        self.assertFalse(self.log.available)

    def test_given_up(self) -> None:
        """Whoever asked may cancel: what was asked is done all the same, and reported; nothing
        passes for a failure of the log, and the next question is answered."""
        listener = self.listen()
        self.successResultOf(self.log.follow(LOBBY))
        asked: list[Deferred[Any]] = [
            self.log.append([entry(LOBBY, "a")], NOW),
            self.log.read(LOBBY, EVERYTHING, 10, 1000),
            self.log.stats(),
            self.log.newest(),
            self.log.sweep(NOW, ()),
        ]
        for one in asked:
            one.addErrback(lambda failure: failure.trap(CancelledError))
            one.cancel()
        self.ids(entry(LOBBY, "b"))
        self.assertEqual(self.texts(LOBBY), ["a", "b"])
        # A shared log reports in its place, which is after what it was just asking the store.
        self.successResultOf(self.log.newest())
        self.assertEqual(listener.texts[LOBBY.key], ["a", "b"])
        self.assertTrue(self.log.available)

    def listen(self) -> Listener:
        """Have the running log report to a new listener."""
        listener = Listener(self.log)
        self.successResultOf(self.log.start(listener))
        return listener

    def test_reports_what_it_stores(self) -> None:
        """What an append stored is reported by the time of its answer, in order."""
        listener = self.listen()
        self.successResultOf(self.log.follow(LOBBY))
        self.successResultOf(self.log.follow(KITCHEN))
        self.append(entry(LOBBY, "a", "b"), entry(KITCHEN, "c"), entry(LOBBY, "d"))
        self.append(entry(LOBBY, "e"), at=NOW)
        self.assertEqual(listener.texts, {LOBBY.key: ["a", "b", "d", "e"], KITCHEN.key: ["c"]})
        self.assertEqual(listener.heads[-1], self.log.head)
        self.assertEqual(listener.skipped, [])

    def test_reports_no_repetition(self) -> None:
        """A key that is known stores nothing, so there is nothing to report."""
        listener = self.listen()
        self.successResultOf(self.log.follow(LOBBY))
        self.append(entry(LOBBY, "a", key="k"))
        self.append(entry(LOBBY, "b", key="k"))
        self.assertEqual(listener.texts, {LOBBY.key: ["a"]})

    def test_numbers(self) -> None:
        """A numbered topic's messages are counted without a gap, and keep their places."""
        numbered = [msgspec.structs.replace(entry(LOBBY, text), numbered=True) for text in "abc"]
        answers = self.append(*numbered[:2], entry(KITCHEN, "x")) + self.append(numbered[2])
        places = [one.place for answer in answers for one in answer.messages]
        self.assertEqual(places[2], None)
        [(epoch, first), second, third] = [place for place in places if place is not None]
        self.assertEqual((first, second, third), (1, (epoch, 2), (epoch, 3)))
        self.assertEqual(
            [one.place for one in self.read(LOBBY).messages], [(epoch, n) for n in (1, 2, 3)]
        )
        self.restart()
        [again] = self.append(msgspec.structs.replace(entry(LOBBY, "d", key="k"), numbered=True))
        [told] = self.append(msgspec.structs.replace(entry(LOBBY, "d", key="k"), numbered=True))
        self.assertEqual([one.place for one in again.messages], [(epoch, 4)])
        self.assertEqual([one.place for one in told.messages], [(epoch, 4)])

    def test_epoch(self) -> None:
        """A topic that was dropped begins a new epoch, greater than the one before."""
        brief = Lifecycle(replay_window_ms=1, inactivity_ttl_ms=1)
        one = msgspec.structs.replace(entry(LOBBY, "a", lifecycle=brief), numbered=True)
        [before] = self.append(one)
        while self.successResultOf(self.log.sweep(NOW + DAY, ())):
            pass
        [after] = self.append(one, at=NOW + DAY)
        places = [answer.messages[0].place or (0, 0) for answer in (before, after)]
        self.assertLess(places[0][0], places[1][0])
        self.assertEqual([seq for _, seq in places], [1, 1])

    def test_follows(self) -> None:
        """Messages of a topic are reported from `follow` on, and not after `unfollow`; the
        head rises over those of other topics."""
        listener = self.listen()
        self.append(entry(LOBBY, "a"))
        self.successResultOf(self.log.follow(LOBBY))
        self.append(entry(LOBBY, "b"), entry(KITCHEN, "c"))
        self.log.unfollow(LOBBY.key)
        self.log.unfollow(LOBBY.key)
        [last] = self.ids(entry(LOBBY, "d"))
        self.assertEqual(self.log.head, last)
        self.assertEqual(self.successResultOf(self.log.newest()), last)
        if self.log.everything:
            expected = {LOBBY.key: ["a", "b", "d"], KITCHEN.key: ["c"]}
        else:
            expected = {LOBBY.key: ["b"]}
        self.assertEqual(listener.texts, expected)

    def restart(self) -> None:
        self.successResultOf(self.log.stop())
        self.log = self.make_again(self.log, self.clock)
        self.successResultOf(self.log.start())

    def append(self, *entries: Append, at: int = NOW + 1) -> list[Appended]:
        return self.successResultOf(self.log.append(list(entries), at))

    def ids(self, *entries: Append, at: int = NOW + 1) -> list[int]:
        return [message.id for one in self.append(*entries, at=at) for message in one.messages]

    def read(
        self, topic: Topic, after: int = EVERYTHING, limit: int = 1000, max_bytes: int = 2**30
    ) -> Page:
        return self.successResultOf(self.log.read(topic, after, limit, max_bytes))

    def texts(self, topic: Topic, after: int = EVERYTHING) -> list[str]:
        return [message.data.decode()[1:-1] for message in self.read(topic, after).messages]

    def sweep(self, at: int, in_use: Collection[str] = (), log: IReplayLog | None = None) -> int:
        """Sweep until there is no more; the number of steps."""
        steps = 1
        while self.successResultOf((log or self.log).sweep(at, in_use)):
            steps += 1
            self.assertLess(steps, 1000, "a sweep always finds more")
        return steps

    def topics(self) -> int:
        return self.successResultOf(self.log.stats()).topics

    # the port

    def test_provides_the_port(self) -> None:
        """The log has every method of its interface, with the same arguments."""
        verifyObject(IReplayLog, self.log)

    def test_unavailable_before_start(self) -> None:
        """A log that is not started fails as unavailable."""
        log = self.make_log(self.clock)
        self.failureResultOf(log.append([entry(LOBBY, "a")], NOW), StoreUnavailable)
        self.failureResultOf(log.read(LOBBY, 0, 1, 1), StoreUnavailable)

    def test_unavailable_after_stop(self) -> None:
        """A stopped log fails as unavailable, every method of it."""
        self.successResultOf(self.log.stop())
        self.failureResultOf(self.log.append([entry(LOBBY, "a")], NOW), StoreUnavailable)
        self.failureResultOf(self.log.read(LOBBY, 0, 1, 1), StoreUnavailable)
        self.failureResultOf(self.log.sweep(NOW, ()), StoreUnavailable)
        self.failureResultOf(self.log.stats(), StoreUnavailable)

    def test_stop_twice(self) -> None:
        """Stopping a stopped log is harmless."""
        self.successResultOf(self.log.stop())
        self.successResultOf(self.log.stop())

    # ids

    def test_id_is_the_time(self) -> None:
        """A message's id is the microsecond of its storing."""
        self.assertEqual(self.ids(entry(LOBBY, "a"), at=NOW + 77), [NOW + 77])

    def test_ids_increase_within_a_batch(self) -> None:
        """Messages of one batch have ids one apart, in the order of the entries."""
        ids = self.ids(entry(LOBBY, "a", "b"), entry(KITCHEN, "c"), at=NOW + 5)
        self.assertEqual(ids, [NOW + 5, NOW + 6, NOW + 7])

    def test_ids_increase_when_the_clock_steps_back(self) -> None:
        """A clock that was set back does not make ids go back."""
        [first] = self.ids(entry(LOBBY, "a"), at=NOW + 1000)
        self.assertEqual(self.ids(entry(LOBBY, "b"), at=NOW - 3600 * SECOND), [first + 1])

    def test_ids_increase_over_a_restart(self) -> None:
        """Ids go on where they were, even if the clock was set back in between."""
        [first] = self.ids(entry(LOBBY, "a"), at=NOW + 1000)
        self.restart()
        self.assertEqual(self.log.head, first)
        self.assertEqual(self.ids(entry(KITCHEN, "b"), at=5), [first + 1])

    def test_ids_increase_after_everything_was_removed(self) -> None:
        """Ids go on even if no message and no topic is left."""
        lifecycle = Lifecycle(inactivity_ttl_ms=1000)
        [first] = self.ids(entry(LOBBY, "a", lifecycle=lifecycle), at=NOW + 1000)
        self.sweep(NOW + DAY)
        self.assertEqual(self.topics(), 0)
        self.restart()
        self.assertEqual(self.ids(entry(LOBBY, "b"), at=5), [first + 1])

    def test_first_id_is_past_the_beginning(self) -> None:
        """The first message comes after the id at which the log began."""
        self.assertEqual(self.log.head, NOW)
        self.assertEqual(self.ids(entry(LOBBY, "a"), at=NOW), [NOW + 1])

    # append

    def test_answers_with_the_messages(self) -> None:
        """An append is answered with the messages as stored."""
        [appended] = self.append(entry(LOBBY, "hi"), at=NOW + 9)
        [message] = appended.messages
        self.assertEqual(
            (message.topic, message.id, message.type, message.data),
            (LOBBY, NOW + 9, "msg", b'"hi"'),
        )
        self.assertFalse(appended.repeated)

    def test_head_rises_before_the_answer(self) -> None:
        """Whoever is told of an append finds the head already raised."""
        heads = []
        self.clock.rightNow = (NOW + 10) / SECOND
        answer = self.log.append([entry(LOBBY, "a", "b")], NOW + 10)
        answer.addCallback(lambda _: heads.append(self.log.head))
        self.successResultOf(answer)
        self.assertEqual(heads, [NOW + 11])

    def test_answers_in_the_order_of_the_calls(self) -> None:
        """Several appends at once are answered in order."""
        order: list[int] = []
        for number in range(5):
            answer = self.log.append([entry(LOBBY, str(number))], NOW + 1)
            answer.addCallback(lambda _, number=number: order.append(number))
            self.successResultOf(answer)
        self.assertEqual(order, [0, 1, 2, 3, 4])
        self.assertEqual(self.texts(LOBBY), ["0", "1", "2", "3", "4"])

    def test_append_nothing(self) -> None:
        """No entries, or an entry without drafts, store nothing and give out no id."""
        self.assertEqual(self.append(), [])
        self.assertEqual(self.append(entry(LOBBY)), [Appended(())])
        self.assertEqual(self.log.head, NOW)
        self.assertEqual(self.topics(), 0)

    def test_any_text_and_bytes(self) -> None:
        """Types and keys of any characters come back as they went in."""
        odd = ["\x00", "a\x00b", "é😀", "\ud800", "x" * 128, "'; DROP TABLE message"]
        for text in odd:
            append = Append(LOBBY, (Draft(text, b"\x00\xff"),), Lifecycle(), text)
            first = self.append(append)
            again = self.append(append)
            self.assertTrue(again[0].repeated)
            self.assertEqual(again[0].messages, first[0].messages)
        self.assertEqual([message.type for message in self.read(LOBBY).messages], odd)
        self.assertEqual({message.data for message in self.read(LOBBY).messages}, {b"\x00\xff"})

    def test_large_message(self) -> None:
        """A message much larger than a page of a disk comes back whole."""
        data = bytes(range(256)) * 4096
        self.append(Append(LOBBY, (Draft("msg", data),), Lifecycle()))
        self.assertEqual([message.data for message in self.read(LOBBY).messages], [data])

    # idempotency

    def test_repeated_key_stores_nothing(self) -> None:
        """A repeated idempotency key gives the first answer again."""
        [first] = self.append(entry(LOBBY, "a", "b", key="k"))
        [second] = self.append(entry(LOBBY, "other", key="k"))
        self.assertTrue(second.repeated)
        self.assertEqual(second.messages, first.messages)
        self.assertEqual(self.texts(LOBBY), ["a", "b"])

    def test_repeated_key_within_a_batch(self) -> None:
        """A key may repeat within one batch."""
        first, second, third = self.append(
            entry(LOBBY, "a", key="k"), entry(LOBBY, "b", key="k"), entry(LOBBY, "c")
        )
        self.assertEqual(second.messages, first.messages)
        self.assertEqual((first.repeated, second.repeated, third.repeated), (False, True, False))
        self.assertEqual(self.texts(LOBBY), ["a", "c"])

    def test_repeated_key_after_a_restart(self) -> None:
        """A key is known over a restart."""
        [first] = self.append(entry(LOBBY, "a", key="k"))
        self.restart()
        [second] = self.append(entry(LOBBY, "a", key="k"))
        self.assertEqual((second.repeated, second.messages), (True, first.messages))

    def test_key_belongs_to_its_topic(self) -> None:
        """The same key on another topic is another key."""
        self.append(entry(LOBBY, "a", key="k"))
        [second] = self.append(entry(KITCHEN, "b", key="k"))
        self.assertFalse(second.repeated)

    def test_key_lives_as_long_as_its_messages(self) -> None:
        """A key is known while all its messages are in the window, and not after."""
        lifecycle = Lifecycle(replay_window_ms=1000)
        again = entry(LOBBY, "a", "b", key="k", lifecycle=lifecycle)
        [first] = self.append(again, at=NOW + 1)
        self.sweep(first.messages[0].id + SECOND - 1)
        self.assertTrue(self.append(again)[0].repeated)
        self.sweep(first.messages[0].id + SECOND)
        self.assertFalse(self.append(again)[0].repeated)

    def test_key_goes_with_a_dropped_topic(self) -> None:
        """A dropped topic takes its keys with it."""
        again = entry(LOBBY, "a", key="k", lifecycle=Lifecycle(inactivity_ttl_ms=1000))
        self.append(again)
        self.sweep(NOW + DAY)
        self.assertFalse(self.append(again, at=NOW + DAY)[0].repeated)

    # read

    def test_reads_what_follows_the_cursor(self) -> None:
        """A page holds the messages after the cursor, in order."""
        ids = self.ids(entry(LOBBY, "a", "b", "c"))
        self.assertEqual(self.texts(LOBBY), ["a", "b", "c"])
        self.assertEqual(self.texts(LOBBY, ids[0]), ["b", "c"])
        self.assertEqual(self.texts(LOBBY, ids[2]), [])
        self.assertEqual(self.texts(LOBBY, ids[2] + 10**6), [])

    def test_rooms_are_rooms(self) -> None:
        """A topic never shows another topic's messages."""
        self.append(entry(LOBBY, "a"), entry(KITCHEN, "b"), entry(LOBBY, "c"))
        self.assertEqual(self.texts(LOBBY), ["a", "c"])
        self.assertEqual(self.texts(KITCHEN), ["b"])

    def test_limit(self) -> None:
        """A page holds at most `limit` messages and says whether there are more."""
        self.append(entry(LOBBY, "a", "b", "c"))
        page = self.read(LOBBY, limit=2)
        self.assertEqual((len(page.messages), page.more), (2, True))
        page = self.read(LOBBY, page.messages[-1].id, limit=2)
        self.assertEqual((len(page.messages), page.more), (1, False))
        page = self.read(LOBBY, limit=3)
        self.assertEqual((len(page.messages), page.more), (3, False))

    def test_newest(self) -> None:
        """The newest message alone, of whatever the topic holds, with the numbers of its page."""
        self.assertEqual(self.read(LOBBY, NEWEST).messages, ())
        self.append(entry(LOBBY, "1", "2"), entry(KITCHEN, "x"))
        *_, last = self.append(entry(LOBBY, "3"))[0].messages
        self.append(entry(KITCHEN, "y"))
        for _ in range(2):
            page = self.read(LOBBY, NEWEST)
            self.assertEqual((page.messages, page.more), ((last,), False))
            self.assertEqual((page.head, page.removed), (last.id + 1, NOW))
            self.restart()
        self.sweep(NOW + DAY)
        self.assertEqual(self.read(LOBBY, NEWEST).messages, ())
        self.assertEqual(self.read(LOBBY, NEWEST).removed, last.id)

    def test_limit_of_nothing(self) -> None:
        """A page of no messages still tells whether there are any, and the watermark."""
        self.append(entry(LOBBY, "a"))
        page = self.read(LOBBY, limit=0)
        self.assertEqual((page.messages, page.more, page.head), ((), True, NOW + 1))

    def test_byte_bound(self) -> None:
        """A page stops before it is larger than asked, but holds one message at least."""
        self.append(entry(LOBBY, "a" * 100, "b" * 100, "c" * 100))
        size = self.read(LOBBY).messages[0].size
        self.assertEqual(len(self.read(LOBBY, max_bytes=2 * size).messages), 2)
        self.assertEqual(len(self.read(LOBBY, max_bytes=2 * size - 1).messages), 1)
        page = self.read(LOBBY, max_bytes=1)
        self.assertEqual((len(page.messages), page.more), (1, True))

    def test_head_is_that_of_the_store(self) -> None:
        """A page's head is the highest id of all topics."""
        ids = self.ids(entry(LOBBY, "a"), entry(KITCHEN, "b"))
        self.assertEqual(self.read(LOBBY).head, ids[1])
        self.assertEqual(self.read(Topic.of("silent", {})).head, ids[1])

    # too old

    def test_nothing_removed(self) -> None:
        """While nothing was removed, only what is before the log's beginning is too old."""
        ids = self.ids(entry(LOBBY, "a"))
        self.assertEqual(self.read(LOBBY).removed, NOW)
        self.read(LOBBY, NOW).judge(NOW)
        self.read(LOBBY, ids[0]).judge(ids[0])
        self.assertRaises(ReplayTooOld, self.read(LOBBY).judge, NOW - 1)
        self.assertRaises(CursorInvalid, self.read(LOBBY).judge, ids[0] + 1)
        self.read(LOBBY).judge(EVERYTHING)

    def test_removed_by_age(self) -> None:
        """A cursor before a message that expired is too old; the message itself is no cursor
        that is too old."""
        lifecycle = Lifecycle(replay_window_ms=1000)
        [a] = self.ids(entry(LOBBY, "a", lifecycle=lifecycle), at=NOW + 10)
        [b] = self.ids(entry(LOBBY, "b", lifecycle=lifecycle), at=NOW + 20)
        self.sweep(a + SECOND - 1)
        self.assertEqual(self.texts(LOBBY), ["a", "b"])
        self.sweep(a + SECOND)
        page = self.read(LOBBY)
        self.assertEqual(([m.id for m in page.messages], page.removed), ([b], a))
        page.judge(a)
        self.assertRaises(ReplayTooOld, page.judge, a - 1)

    def test_removed_outlives_the_messages(self) -> None:
        """The watermark stands when everything has expired, and after a restart."""
        lifecycle = Lifecycle(replay_window_ms=1000)
        [a, b] = self.ids(entry(LOBBY, "a", "b", lifecycle=lifecycle))
        self.sweep(NOW + 3600 * SECOND)
        for _ in range(2):
            page = self.read(LOBBY)
            self.assertEqual((page.messages, page.removed), ((), b))
            page.judge(b)
            self.assertRaises(ReplayTooOld, page.judge, a)
            self.restart()

    def test_removed_belongs_to_its_topic(self) -> None:
        """What expired in one room makes no cursor of another room too old."""
        self.append(entry(LOBBY, "a", lifecycle=Lifecycle(replay_window_ms=1000)))
        self.append(entry(KITCHEN, "b"))
        self.sweep(NOW + 10 * SECOND)
        self.read(KITCHEN).judge(NOW)
        self.assertEqual(self.texts(KITCHEN), ["b"])

    def test_removed_by_count(self) -> None:
        """A topic over its count loses its oldest messages without waiting for a sweep."""
        lifecycle = Lifecycle(replay_max_messages=3)
        ids = self.ids(entry(LOBBY, *"abcde", lifecycle=lifecycle))
        page = self.read(LOBBY)
        self.assertEqual([message.id for message in page.messages], ids[2:])
        self.assertEqual(page.removed, ids[1])

    def test_removed_by_bytes(self) -> None:
        """A topic over its bytes loses its oldest messages without waiting for a sweep."""
        lifecycle = Lifecycle(replay_max_bytes=1024)
        ids = self.ids(entry(LOBBY, *("x" * 300 for _ in range(4)), lifecycle=lifecycle))
        page = self.read(LOBBY)
        self.assertEqual([message.id for message in page.messages], ids[2:])
        self.assertEqual(page.removed, ids[1])

    def test_newest_message_stays(self) -> None:
        """A message that alone is larger than its topic may be is kept while it is the newest."""
        lifecycle = Lifecycle(replay_max_bytes=1024)
        self.append(entry(LOBBY, "x" * 5000, lifecycle=lifecycle))
        self.sweep(NOW + 1)
        self.assertEqual(self.texts(LOBBY), ["x" * 5000])
        self.append(entry(LOBBY, "b", lifecycle=lifecycle))
        self.assertEqual(self.texts(LOBBY), ["b"])

    def test_newest_lifecycle_counts(self) -> None:
        """The log goes by the lifecycle that it was told last."""
        self.append(entry(LOBBY, "a", "b", "c"))
        self.append(entry(LOBBY, "d", lifecycle=Lifecycle(replay_max_messages=2)))
        self.assertEqual(self.texts(LOBBY), ["c", "d"])
        self.append(entry(LOBBY, "e", lifecycle=Lifecycle(replay_window_ms=1000)))
        self.sweep(NOW + 2 * SECOND)
        self.assertEqual(self.texts(LOBBY), [])

    def test_lifecycle_outlives_a_restart(self) -> None:
        """The log knows the bounds of its topics after a restart."""
        lifecycle = Lifecycle(replay_window_ms=1000)
        self.append(entry(LOBBY, "a", lifecycle=lifecycle))
        self.restart()
        self.sweep(NOW + 2 * SECOND)
        self.assertEqual(self.texts(LOBBY), [])

    def test_sweep_goes_in_bounded_steps(self) -> None:
        """Much that has expired is removed in several steps, each of which says whether more
        is left, and at every step the page and its watermark agree."""
        lifecycle = Lifecycle(replay_window_ms=1000)
        for _ in range(5):
            self.append(entry(LOBBY, *map(str, range(500)), lifecycle=lifecycle))
        kept = 2500
        more = True
        while more:
            more = self.successResultOf(self.log.sweep(NOW + DAY // 2, ()))
            page = self.read(LOBBY, limit=5000)
            self.assertLessEqual(kept - len(page.messages), 1000)
            kept = len(page.messages)
            if page.messages:
                self.assertEqual(page.removed, page.messages[0].id - 1)
        self.assertEqual(kept, 0)

    def test_sweep_of_many_topics(self) -> None:
        """Many topics that are due are looked at in several steps."""
        lifecycle = Lifecycle(replay_window_ms=1000, inactivity_ttl_ms=2000)
        self.append(
            *(entry(Topic.of("room", {"n": n}), "x", lifecycle=lifecycle) for n in range(300))
        )
        self.assertGreater(self.sweep(NOW + DAY), 3)
        self.assertEqual(self.topics(), 0)

    # dropping topics

    def test_inactive_topic_is_dropped(self) -> None:
        """A topic without publishes for its ttl is dropped, messages and all, and cursors
        before its last message are too old."""
        lifecycle = Lifecycle(inactivity_ttl_ms=5000)
        [a, b] = self.ids(entry(LOBBY, "a", "b", lifecycle=lifecycle))
        self.sweep(NOW + 1 + 5 * SECOND - 1)
        self.assertEqual(self.texts(LOBBY), ["a", "b"])
        self.sweep(NOW + 1 + 5 * SECOND)
        self.assertEqual(self.topics(), 0)
        for _ in range(2):
            page = self.read(LOBBY)
            self.assertEqual((page.messages, page.removed), ((), b))
            page.judge(b)
            self.assertRaises(ReplayTooOld, page.judge, a)
            self.restart()

    def test_dropped_topic_comes_back(self) -> None:
        """A publish makes a dropped topic anew, and what is before the drop stays too old."""
        lifecycle = Lifecycle(inactivity_ttl_ms=5000)
        [a] = self.ids(entry(LOBBY, "a", lifecycle=lifecycle))
        self.sweep(NOW + 10 * SECOND)
        [b] = self.ids(entry(LOBBY, "b", lifecycle=lifecycle), at=NOW + 10 * SECOND)
        page = self.read(LOBBY)
        self.assertEqual(([m.id for m in page.messages], page.removed), ([b], a))

    def test_topic_in_use_is_not_dropped(self) -> None:
        """Subscribers keep a topic, and it stays for its whole ttl after they left."""
        lifecycle = Lifecycle(inactivity_ttl_ms=5000)
        self.append(entry(LOBBY, "a", lifecycle=lifecycle))
        self.sweep(NOW + 7 * SECOND, {LOBBY.key})
        self.sweep(NOW + 11 * SECOND)
        self.assertEqual(self.texts(LOBBY), ["a"])
        self.sweep(NOW + 12 * SECOND)
        self.assertEqual(self.topics(), 0)

    def test_publishing_keeps_a_topic(self) -> None:
        """A publish begins the ttl anew."""
        lifecycle = Lifecycle(inactivity_ttl_ms=5000)
        self.append(entry(LOBBY, "a", lifecycle=lifecycle), at=NOW)
        self.append(entry(LOBBY, "b", lifecycle=lifecycle), at=NOW + 4 * SECOND)
        self.sweep(NOW + 6 * SECOND)
        self.assertEqual(self.texts(LOBBY), ["a", "b"])

    def test_restart_begins_the_ttl_anew(self) -> None:
        """While the server was down nobody could subscribe, so a restart drops nothing early."""
        self.append(entry(LOBBY, "a", lifecycle=Lifecycle(inactivity_ttl_ms=5000)), at=NOW)
        self.clock.advance(60)
        self.restart()
        self.sweep(NOW + 61 * SECOND)
        self.assertEqual(self.texts(LOBBY), ["a"])
        self.sweep(NOW + 65 * SECOND)
        self.assertEqual(self.topics(), 0)

    def test_large_topic_is_dropped_in_steps(self) -> None:
        """A topic of many messages is dropped step by step, and a publish in between saves it."""
        lifecycle = Lifecycle(inactivity_ttl_ms=5000)
        for _ in range(3):
            self.append(entry(LOBBY, *map(str, range(700)), lifecycle=lifecycle))
        self.assertTrue(self.successResultOf(self.log.sweep(NOW + 10 * SECOND, ())))
        [last] = self.ids(entry(LOBBY, "new", lifecycle=lifecycle), at=NOW + 10 * SECOND)
        self.sweep(NOW + 11 * SECOND)
        page = self.read(LOBBY, limit=5000)
        self.assertEqual(page.messages[-1].id, last)
        self.assertEqual(len(page.messages), 1101)
        self.assertEqual(page.removed, page.messages[0].id - 1)

    def test_empty_idle_topic_is_forgotten(self) -> None:
        """A topic without messages is forgotten after a day, so topics do not pile up."""
        [a] = self.ids(entry(LOBBY, "a"), at=NOW + 1)
        self.sweep(NOW + DAY)
        self.assertEqual(self.topics(), 1)
        self.sweep(NOW + DAY + 1, {LOBBY.key})
        self.assertEqual(self.topics(), 1)
        self.sweep(NOW + 2 * DAY + 1)
        self.assertEqual(self.topics(), 0)
        self.assertEqual(self.read(LOBBY).removed, a)

    def test_remembered_for_subscribers(self) -> None:
        """Not forgotten only because it has subscribers, it is remembered for a day from then on,
        also where its messages went a moment before."""
        [a] = self.ids(entry(LOBBY, "a"), at=NOW + 1)
        self.sweep(NOW + DAY + 1, {LOBBY.key})
        for later in (SECOND, 10 * SECOND, DAY):
            self.sweep(NOW + DAY + later)
            self.assertEqual(self.topics(), 1)
        self.sweep(NOW + 2 * DAY + 1)
        self.assertEqual(self.topics(), 0)
        self.assertEqual(self.read(LOBBY).removed, a)

    def test_long_window_is_remembered_longer(self) -> None:
        """A topic without messages is remembered for ten of its windows."""
        lifecycle = Lifecycle(replay_window_ms=24 * 3600 * 1000)
        self.append(entry(LOBBY, "a", lifecycle=lifecycle), at=NOW + 1)
        self.sweep(NOW + 9 * DAY)
        self.assertEqual(self.topics(), 1)
        self.sweep(NOW + 10 * DAY + 1)
        self.assertEqual(self.topics(), 0)

    # a clock that was wrong

    def sweep_for(self, seconds: int, now: int) -> int:
        """As a server does, once a second; the time then."""
        for _ in range(seconds):
            now += SECOND
            self.clock.rightNow = now / SECOND
            self.sweep(now)
        return now

    def test_in_use_since_the_start(self) -> None:
        """Idleness is counted from when a topic was last in use, also where that was before all
        publishes since the start, and the clock was set back for one of them."""
        idle = Lifecycle(inactivity_ttl_ms=80)
        self.append(entry(LOBBY, "a", lifecycle=idle))
        self.restart()
        now = NOW + 90_000
        self.clock.rightNow = now / SECOND
        self.sweep(now, {LOBBY.key})
        hour_ago = now - 3600 * SECOND
        self.clock.rightNow = hour_ago / SECOND
        self.append(entry(LOBBY, "b", lifecycle=idle), at=hour_ago)
        self.clock.rightNow = now / SECOND
        self.sweep(now)
        self.assertEqual(self.texts(LOBBY), ["a", "b"])
        now += 90_000
        self.clock.rightNow = now / SECOND
        self.sweep(now)
        self.assertEqual(self.texts(LOBBY), [])

    def test_clock_set_right_between_two_starts(self) -> None:
        """What a server stored while its clock was a year ahead, and what it stored since, goes
        when it is as old as its window, and not before."""
        lifecycle = Lifecycle(replay_window_ms=5000)
        now = NOW + 400 * DAY
        self.sweep(now)
        [boot] = self.ids(entry(LOBBY, "boot", lifecycle=lifecycle), at=now)
        self.sweep(now + SECOND)
        self.clock.rightNow = NOW / SECOND
        self.restart()
        now = self.sweep_for(3, NOW)
        [after] = self.ids(entry(LOBBY, "now", lifecycle=lifecycle), at=now)
        self.assertEqual(after, boot + 1)
        now = self.sweep_for(1, now)
        self.assertEqual(self.texts(LOBBY), ["boot", "now"])
        now = self.sweep_for(3, now)
        self.assertEqual(self.texts(LOBBY), ["now"])
        self.assertRaises(ReplayTooOld, self.read(LOBBY).judge, boot - 1)
        self.read(LOBBY).judge(boot)
        now = self.sweep_for(3, now)
        self.assertEqual(self.texts(LOBBY), [])

    def test_clock_set_right_under_a_server(self) -> None:
        """So too where it is set right, twice, while the log is open; and an idle topic goes."""
        lifecycle = Lifecycle(replay_window_ms=5000, inactivity_ttl_ms=20_000)
        now = self.sweep_for(2, NOW + 400 * DAY)
        self.append(entry(LOBBY, "a", lifecycle=lifecycle), at=now)
        now = self.sweep_for(2, NOW + 200 * DAY)
        self.append(entry(LOBBY, "b", lifecycle=lifecycle), at=now)
        now = self.sweep_for(4, NOW)
        self.assertEqual(self.texts(LOBBY), ["a", "b"])
        now = self.sweep_for(3, now)
        self.assertEqual(self.texts(LOBBY), [])
        self.assertEqual(self.topics(), 1)
        self.sweep_for(20, now)
        self.assertEqual(self.topics(), 0)

    # stats

    def test_stats(self) -> None:
        """The stats count topics, messages and their bytes."""
        appended = self.append(entry(LOBBY, "a", "bc"), entry(KITCHEN, "d"))
        size = sum(message.size for one in appended for message in one.messages)
        stats = self.successResultOf(self.log.stats())
        self.assertEqual((stats.topics, stats.messages, stats.bytes), (2, 3, size))

    # everything at once

    # One function, run on each adapter.
    @settings(max_examples=120, suppress_health_check=[HealthCheck.differing_executors])
    @given(steps_of(APPENDS))
    def test_agrees_with_the_model(self, steps: Steps) -> None:
        """Whatever is published, swept and restarted in whatever order, and however the clock
        moves: what is read after any cursor, and which cursors are too old, is exactly what
        the promises say."""
        self.run_beside_the_model(steps)

    def run_beside_the_model(self, steps: Steps) -> None:
        """Fail where the log and the model say different things."""
        now = NOW
        clock = Clock()
        clock.advance(NOW / SECOND)
        log = self.make_log(clock)
        self.successResultOf(log.start())
        model = ModelLog(head=NOW, removed=NOW, opened=NOW)
        latest = now
        try:
            for name, move, argument in steps:
                now += move
                if name != "append":
                    # Idleness is counted from sweeps and starts.  A log that finds itself
                    # in the past may drop a topic later than the model does.
                    now = max(now, latest)
                latest = max(now, latest)
                clock.rightNow = now / SECOND
                if name == "append":
                    appended = self.successResultOf(log.append(argument, now))
                    self.assertEqual(
                        [(one.repeated, [each.id for each in one.messages]) for one in appended],
                        model.append(argument, now),
                    )
                elif name == "sweep":
                    self.sweep(now, argument, log)
                    model.sweep(now, argument)
                else:
                    self.successResultOf(log.stop())
                    log = self.make_again(log, clock)
                    self.successResultOf(log.start())
                    model.restart(int(clock.seconds() * SECOND))
                self.assertEqual(log.head, model.head)
                for topic in TOPICS:
                    self._agrees(log, model, topic)
        finally:
            # Also of a story that fails: it is told in hundreds of shorter ways.
            self.successResultOf(log.stop())

    def _agrees(self, log: IReplayLog, model: ModelLog, topic: Topic) -> None:
        expected = model.topics.get(topic.key)
        messages = expected.messages if expected else []
        removed = expected.removed if expected else model.removed
        page = self.successResultOf(log.read(topic, EVERYTHING, 10_000, 2**40))
        self.assertEqual((page.head, page.removed), (model.head, removed))
        self.assertEqual(list(page.messages), messages)
        for message in messages:
            after = self.successResultOf(log.read(topic, message.id, 2, 2**40))
            rest = [one for one in messages if one.id > message.id]
            self.assertEqual((list(after.messages), after.more), (rest[:2], len(rest) > 2))
