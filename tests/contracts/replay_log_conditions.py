"""What a replay log promises of appends with a condition (`Append.after`), as tests."""

from __future__ import annotations

import msgspec

from takotwist.core.channel import Lifecycle
from takotwist.core.log import Append
from takotwist.core.topic import EVERYTHING, Topic
from tests.contracts.replay_log import (
    DAY,
    KITCHEN,
    LOBBY,
    NOW,
    SECOND,
    ReplayLogContract,
    entry,
)


def after(id: int, topic: Topic, *texts: str, lifecycle: Lifecycle | None = None) -> Append:
    """An append that is stored only where nothing of the topic is newer."""
    return msgspec.structs.replace(entry(topic, *texts, lifecycle=lifecycle), after=id)


class ConditionsContract(ReplayLogContract):
    """The tests."""

    def test_condition_holds(self) -> None:
        """It is stored, reported and answered as any other, on a new topic as on an old one."""
        listener = self.listen()
        self.successResultOf(self.log.follow(LOBBY))
        [first] = self.ids(after(self.log.head, LOBBY, "a"))
        [second, third] = self.ids(after(first, LOBBY, "b", "c"))
        self.ids(entry(KITCHEN, "x"))
        self.append(after(third, LOBBY, "d"))
        self.assertEqual(self.texts(LOBBY), ["a", "b", "c", "d"])
        self.assertEqual(listener.texts[LOBBY.key], ["a", "b", "c", "d"])
        self.assertLess(first, second)

    def test_condition_fails(self) -> None:
        """Nothing of it is stored or reported, no id is given out, and its neighbours in the
        transaction are as they would be without it."""
        listener = self.listen()
        self.successResultOf(self.log.follow(LOBBY))
        [first, second] = self.ids(entry(LOBBY, "a", "b"))
        refused, stored, other = self.append(
            after(first, LOBBY, "no", "no"), entry(LOBBY, "c"), entry(KITCHEN, "x")
        )
        self.assertEqual((refused.messages, refused.repeated), ((), False))
        ids = [one.id for answer in (stored, other) for one in answer.messages]
        self.assertEqual(ids, [second + 1, second + 2])
        self.assertEqual(self.log.head, second + 2)
        self.assertEqual(listener.texts[LOBBY.key], ["a", "b", "c"])
        self.restart()
        self.assertEqual(self.texts(LOBBY), ["a", "b", "c"])
        self.assertEqual(self.texts(KITCHEN), ["x"])

    def test_all_conditions_fail(self) -> None:
        """A transaction of which nothing is stored leaves the head where it was."""
        [first] = self.ids(entry(LOBBY, "a"))
        [refused] = self.append(after(first - 1, LOBBY, "no"))
        self.assertEqual((refused.messages, self.log.head), ((), first))
        self.assertEqual(self.ids(after(first, LOBBY, "b")), [first + 1])

    def test_one_of_two_wins(self) -> None:
        """Of two with the same condition one is stored, in one transaction as in two."""
        head = self.log.head
        answers = self.append(after(head, LOBBY, "a"), after(head, LOBBY, "no"))
        self.assertEqual([len(one.messages) for one in answers], [1, 0])
        [late] = self.append(after(head, LOBBY, "no"))
        self.assertEqual(late.messages, ())
        self.assertEqual(self.texts(LOBBY), ["a"])

    def test_behind_a_plain_one(self) -> None:
        """A plain append in front of it in the transaction is newer than its condition."""
        [first] = self.ids(entry(LOBBY, "a"))
        plain, refused = self.append(entry(LOBBY, "b"), after(first, LOBBY, "no"))
        self.assertEqual((len(plain.messages), refused.messages), (1, ()))
        self.assertEqual(self.texts(LOBBY), ["a", "b"])

    def test_bounds_of_a_refused_one(self) -> None:
        """The bounds of one that is refused are not taken."""
        first, *_ = self.ids(entry(LOBBY, "a", "b", "c"))
        for lifecycle in (Lifecycle(replay_max_messages=1), Lifecycle(replay_window_ms=1)):
            refused, _ = self.append(
                after(first, LOBBY, "no", lifecycle=lifecycle), entry(KITCHEN, "x")
            )
            self.assertEqual(refused.messages, ())
        self.sweep(NOW + 60 * SECOND)
        self.assertEqual(self.texts(LOBBY), ["a", "b", "c"])

    def test_what_was_removed_counts(self) -> None:
        """Who has not read what is gone is refused; who has is not."""
        brief = Lifecycle(replay_window_ms=1000)
        first, second = self.ids(entry(LOBBY, "a", "b", lifecycle=brief))
        self.sweep(NOW + DAY)
        self.assertEqual(self.texts(LOBBY), [])
        [refused] = self.append(after(first, LOBBY, "no", lifecycle=brief), at=NOW + DAY)
        self.assertEqual(refused.messages, ())
        self.append(after(second, LOBBY, "c", lifecycle=brief), at=NOW + DAY)
        self.assertEqual(self.texts(LOBBY), ["c"])

    def test_after_a_snapshot(self) -> None:
        """The head of a page is a condition that holds while nothing is added, on any topic."""
        for topic in (LOBBY, KITCHEN):
            self.ids(entry(LOBBY, "other"))
            page = self.read(topic, EVERYTHING)
            [stored] = self.append(after(page.head, topic, "mine"))
            self.assertEqual(len(stored.messages), 1)
            [again] = self.append(after(page.head, topic, "no"))
            self.assertEqual(again.messages, ())
