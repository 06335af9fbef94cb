"""What a replay log promises of messages with keys (`Append.keys`), as tests.

Mix `KeysContract` into a test case in the place of `ReplayLogContract`, which it includes.
"""

from __future__ import annotations

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from takotwist.core.channel import Lifecycle
from takotwist.core.log import Append
from takotwist.core.topic import NEWEST, Draft, Topic
from takotwist.errors import ReplayTooOld
from tests.contracts.replay_log import (
    APPENDS,
    DAY,
    KITCHEN,
    LIFECYCLES,
    LOBBY,
    NOW,
    SECOND,
    TOPICS,
    ReplayLogContract,
    Steps,
    entry,
    steps_of,
)


def named(
    topic: Topic, kept: bool, *pairs: tuple[str, str], lifecycle: Lifecycle | None = None
) -> Append:
    """An append of messages with keys: a key and a text each."""
    one = entry(topic, *(text for _, text in pairs), lifecycle=lifecycle)
    return msgspec.structs.replace(one, keys=tuple(key for key, _ in pairs), kept=kept)


def after(id: int, append: Append) -> Append:
    """An append that is stored only where nothing of the topic is newer."""
    return msgspec.structs.replace(append, after=id)


NAMED = st.builds(
    lambda topic, pairs, size, lifecycle, kept, most: Append(
        topic,
        tuple(Draft("msg", b"x" * size, delete=delete) for _, delete in pairs),
        lifecycle,
        keys=tuple(name for name, _ in pairs),
        kept=kept,
        max_kept=most,
    ),
    st.sampled_from(TOPICS),
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from([False, False, True])),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from([1, 900]),
    LIFECYCLES,
    st.booleans(),
    st.sampled_from([0, 0, 1, 2]),
)


def bounded(most: int, *pairs: tuple[str, str], lifecycle: Lifecycle | None = None) -> Append:
    """An append of messages that are kept, in a topic that keeps so many."""
    return msgspec.structs.replace(named(LOBBY, True, *pairs, lifecycle=lifecycle), max_kept=most)


class KeysContract(ReplayLogContract):
    """The tests."""

    def test_replaces(self) -> None:
        """A message replaces the one of its key, across batches and within one, and no cursor
        becomes too old by it; messages without a key and other topics are left alone."""
        [first, *_] = self.ids(
            named(LOBBY, False, ("a", "1"), ("b", "2")),
            entry(LOBBY, "plain"),
            named(KITCHEN, False, ("a", "other")),
        )
        self.append(named(LOBBY, False, ("a", "3"), ("c", "4"), ("a", "5")))
        for _ in range(2):
            self.assertEqual(self.texts(LOBBY), ["2", "plain", "4", "5"])
            self.assertEqual(self.texts(KITCHEN), ["other"])
            page = self.read(LOBBY, first)
            page.judge(first)
            self.assertEqual(page.removed, NOW)
            self.restart()

    def test_reports_each_of_a_key(self) -> None:
        """Each message is reported, also one that the same transaction has replaced."""
        listener = self.listen()
        self.successResultOf(self.log.follow(LOBBY))
        self.append(named(LOBBY, True, ("a", "1"), ("a", "2")))
        self.assertEqual(listener.texts, {LOBBY.key: ["1", "2"]})

    def test_reports_keys(self) -> None:
        """The report tells which of its messages have one key, beside those that have none."""
        listener = self.listen()
        self.successResultOf(self.log.follow(LOBBY))
        self.append(entry(LOBBY, "x"), named(LOBBY, True, ("a", "1"), ("b", "2")))
        self.append(
            named(LOBBY, True, ("a", "3")), entry(LOBBY, "y"), named(KITCHEN, True, ("a", "4"))
        )
        none, a, b, again, *rest = listener.keys[LOBBY.key]
        self.assertEqual((none, a == again, a == b), (None, True, False))
        self.assertEqual([one for one in rest if one is not None], [])

    def test_latest_go_with_the_window(self) -> None:
        """The latest of a key that is not kept expires as any message does, and a newer one of
        its key is as old as itself."""
        lifecycle = Lifecycle(replay_window_ms=1000)
        self.append(named(LOBBY, False, ("a", "1"), ("b", "2"), lifecycle=lifecycle), at=NOW + 1)
        [newer] = self.ids(
            named(LOBBY, False, ("a", "3"), lifecycle=lifecycle), at=NOW + SECOND // 2
        )
        self.sweep(NOW + SECOND + 2)
        self.assertEqual(self.texts(LOBBY), ["3"])
        self.assertRaises(ReplayTooOld, self.read(LOBBY).judge, NOW + 1)
        self.sweep(newer + SECOND)
        self.assertEqual(self.texts(LOBBY), [])
        self.append(named(LOBBY, False, ("a", "4"), lifecycle=lifecycle), at=newer + SECOND)
        self.assertEqual(self.texts(LOBBY), ["4"])

    def test_kept_stay(self) -> None:
        """What is kept outlives window, bounds and ttl, raises no watermark, and is counted."""
        lifecycle = Lifecycle(
            replay_window_ms=1000,
            inactivity_ttl_ms=2000,
            replay_max_messages=2,
            replay_max_bytes=1024,
        )
        [old, *_] = self.ids(
            named(LOBBY, True, *((key, key * 400) for key in "abcde"), lifecycle=lifecycle)
        )
        self.append(*(entry(LOBBY, text, lifecycle=lifecycle) for text in "xyz"))
        kept = [key * 400 for key in "abcde"]
        self.assertEqual(self.texts(LOBBY), [*kept, "y", "z"])
        self.assertEqual(self.sweep(NOW + DAY), 1)
        self.assertEqual(self.texts(LOBBY), kept)
        for _ in range(2):
            self.assertEqual(self.sweep(NOW + 3 * DAY), 1)
            page = self.read(LOBBY)
            self.assertEqual([one.id for one in page.messages], [old + n for n in range(5)])
            self.assertEqual(page.removed, old + 7)
            stats = self.successResultOf(self.log.stats())
            self.assertEqual((stats.topics, stats.messages), (1, 5))
            self.assertEqual(stats.bytes, sum(one.size for one in page.messages))
            self.restart()

    def test_ends_what_is_kept(self) -> None:
        """A message of its key that is not kept ends it, and goes with the window; from then
        on whoever has not seen it is too old, and the topic may be dropped."""
        lifecycle = Lifecycle(replay_window_ms=1000, inactivity_ttl_ms=2000)
        [joined] = self.ids(named(LOBBY, True, ("a", "in"), lifecycle=lifecycle), at=NOW + 1)
        [left] = self.ids(named(LOBBY, False, ("a", "out"), lifecycle=lifecycle), at=NOW + 2)
        self.assertEqual(self.texts(LOBBY, joined), ["out"])
        self.read(LOBBY).judge(joined)
        self.sweep(left + SECOND)
        self.assertEqual(self.texts(LOBBY), [])
        self.assertRaises(ReplayTooOld, self.read(LOBBY).judge, joined)
        self.read(LOBBY).judge(left)
        self.sweep(NOW + 10 * SECOND)
        self.assertEqual(self.topics(), 0)

    def test_kept_again(self) -> None:
        """Who comes back within the window leaves no trace of having been gone."""
        self.append(named(LOBBY, True, ("a", "in")))
        [left] = self.ids(named(LOBBY, False, ("a", "out")))
        self.append(named(LOBBY, True, ("a", "back")))
        self.assertEqual(self.texts(LOBBY), ["back"])
        self.sweep(NOW + DAY)
        self.assertEqual(self.texts(LOBBY), ["back"])
        self.read(LOBBY).judge(left)
        self.assertEqual(self.read(LOBBY).removed, NOW)

    def test_newest_of_what_is_kept(self) -> None:
        """The newest message may be one that outlived a later one."""
        self.append(named(LOBBY, True, ("a", "1"), ("b", "2")))
        self.append(named(LOBBY, False, ("c", "3")))
        self.sweep(NOW + DAY)
        [newest] = self.read(LOBBY, NEWEST).messages
        self.assertEqual(newest.data, b'"2"')

    def test_deletes(self) -> None:
        """A draft that deletes ends its key in the middle of an append that is kept."""
        append = named(LOBBY, True, ("a", "1"), ("b", "2"), ("a", "gone"))
        first, second, last = append.drafts
        drafts = (first, second, msgspec.structs.replace(last, delete=True))
        [*_, gone] = self.ids(msgspec.structs.replace(append, drafts=drafts))
        for _ in range(2):
            self.assertEqual(self.texts(LOBBY), ["2", "gone"])
            self.restart()
        self.sweep(NOW + DAY)
        self.assertEqual(self.texts(LOBBY), ["2"])
        self.assertEqual(self.read(LOBBY).removed, gone)

    def test_condition_of_keys(self) -> None:
        """An append on a condition replaces what its keys name where the condition holds, and
        leaves it where not, kept or not, whatever follows in the transaction."""
        [first] = self.ids(named(LOBBY, True, ("a", "1")))
        [second] = self.ids(after(first, named(LOBBY, True, ("a", "2"))))
        for kept in (True, False):
            [refused] = self.append(after(first, named(LOBBY, kept, ("a", "no"), ("b", "no"))))
            self.assertEqual(refused.messages, ())
            self.assertEqual(self.texts(LOBBY), ["2"])
        refused, stored = self.append(
            after(first, named(LOBBY, False, ("a", "no"), ("c", "no"))),
            named(LOBBY, True, ("a", "3"), ("b", "4")),
        )
        self.assertEqual((refused.messages, len(stored.messages)), ((), 2))
        self.assertGreater(stored.messages[0].id, second)
        ended, behind = self.append(
            after(stored.messages[-1].id, named(LOBBY, False, ("a", "5"))),
            after(stored.messages[-1].id, named(LOBBY, True, ("b", "no"))),
        )
        self.assertEqual((len(ended.messages), behind.messages), (1, ()))
        for _ in range(2):
            self.assertEqual(self.texts(LOBBY), ["4", "5"])
            self.restart()
        self.sweep(NOW + DAY)
        self.assertEqual(self.texts(LOBBY), ["4"])
        [stored] = self.append(after(self.log.head, named(LOBBY, True, ("a", "6"))), at=NOW + DAY)
        self.assertEqual(self.texts(LOBBY), ["4", "6"])

    def test_bound_of_keys(self) -> None:
        """An append that would keep more keys than its bound is not stored, and leaves nothing:
        no id, no report, no topic.  What is there can be replaced, and ended for another."""
        listener = self.listen()
        self.successResultOf(self.log.follow(LOBBY))
        [refused] = self.append(bounded(2, ("a", "1"), ("b", "2"), ("c", "3")))
        self.assertEqual((refused.messages, refused.full), ((), True))
        self.assertEqual((self.topics(), self.log.head), (0, NOW))
        [first, _] = self.ids(bounded(2, ("a", "1"), ("b", "2")))
        full, stored = self.append(bounded(2, ("a", "no"), ("c", "no")), bounded(2, ("b", "5")))
        self.assertEqual((full.messages, full.full), ((), True))
        self.assertEqual(([one.id for one in stored.messages], stored.full), ([first + 2], False))
        self.append(named(LOBBY, False, ("a", "gone")), bounded(2, ("c", "6")))
        for _ in range(2):
            self.assertEqual(self.texts(LOBBY), ["5", "gone", "6"])
            [full] = self.append(bounded(2, ("a", "no")))
            self.assertTrue(full.full)
            self.restart()
        self.assertEqual(listener.texts, {LOBBY.key: ["1", "2", "5", "gone", "6"]})

    def test_bound_within_a_transaction(self) -> None:
        """Appends of one transaction are judged one after the other: what is not stored replaces
        nothing of those before it, and takes no room from those after it."""
        answers = self.append(
            bounded(2, ("a", "1"), ("b", "2")),
            bounded(2, ("a", "no"), ("c", "no")),
            bounded(2, ("b", "3")),
            named(LOBBY, False, ("a", "gone")),
            bounded(2, ("c", "4")),
            bounded(2, ("a", "no")),
        )
        self.assertEqual([one.full for one in answers], [False, True, False, False, False, True])
        self.assertEqual(self.texts(LOBBY), ["3", "gone", "4"])

    def test_refused_tells_no_bounds(self) -> None:
        """What is refused in a transaction leaves the bounds as the entry before it told them."""
        few = Lifecycle(replay_max_messages=1)
        self.append(entry(LOBBY, "1"), entry(LOBBY, "2"))
        [_, refused] = self.append(
            entry(LOBBY, "3"), bounded(1, ("a", "4"), ("b", "5"), lifecycle=few)
        )
        self.assertTrue(refused.full)
        self.append(entry(KITCHEN, "other"))
        self.assertEqual(self.texts(LOBBY), ["1", "2", "3"])
        [_, refused, _] = self.append(
            bounded(1, ("a", "4")),
            bounded(1, ("b", "5"), lifecycle=few),
            entry(LOBBY, "6", lifecycle=Lifecycle(replay_max_messages=2)),
        )
        self.assertTrue(refused.full)
        self.assertEqual(self.texts(LOBBY), ["3", "4", "6"])

    def test_bound_of_bytes(self) -> None:
        """The topic's bytes bound what is kept; a bound that was lowered refuses what adds."""
        wide, narrow = Lifecycle(), Lifecycle(replay_max_bytes=1024)
        self.ids(bounded(9, ("a", "1" * 900), ("b", "2" * 900), lifecycle=wide))
        [more] = self.append(bounded(9, ("a", "3" * 901), lifecycle=narrow))
        [key] = self.append(bounded(1, ("c", "4"), lifecycle=wide))
        self.assertEqual((more.full, key.full), (True, True))
        self.ids(bounded(1, ("a", "5" * 900), lifecycle=narrow))
        self.ids(bounded(1, ("b", "6"), lifecycle=narrow))
        self.assertEqual(self.texts(LOBBY), ["5" * 900, "6"])

    # One function, run on each adapter.
    @settings(max_examples=120, suppress_health_check=[HealthCheck.differing_executors])
    @given(steps_of(st.one_of(APPENDS, NAMED)))
    def test_agrees_with_the_model_of_keys(self, steps: Steps) -> None:
        """As without keys: exactly what the promises say, whatever happens."""
        self.run_beside_the_model(steps)
