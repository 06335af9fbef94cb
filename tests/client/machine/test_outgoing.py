"""Publishes on their way out: bounds, order, and one outcome each."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.client.errors import NoAnswer, OutgoingFull, SubscriptionClosed
from takotwist.client.machine.machine import Settle
from takotwist.client.machine.outcome import of_code
from takotwist.client.machine.outgoing import Outgoing
from takotwist.client.machine.policy import Policy
from takotwist.errors import BodyInvalid, ChannelUnknown, MessageTooLarge

#: A refusal for now.
LATER = of_code("rate-limited", "Later.", 1000.0)


def outgoing(**policy: Any) -> Outgoing:
    keys = itertools.count()
    return Outgoing(Policy(**policy), lambda: f"key{next(keys)}", lambda: 0.0)


class OutgoingTests(SynchronousTestCase):
    """A publish is kept until it has its outcome."""

    def test_key(self) -> None:
        """The caller's own, or one that is made; it stays over a cut."""
        waiting = outgoing()
        own, made = waiting.add("t", 1, "mine"), waiting.add("t", 2)
        self.assertEqual((own.key, made.key), ("mine", "key0"))
        waiting.sent(own, 1, 0.0)
        waiting.connection_lost()
        self.assertEqual([one.key for one in waiting.unsent()], ["mine", "key0"])

    def test_bounds(self) -> None:
        """By number and by bytes; room is made by an outcome."""
        by_number = outgoing(max_publishes=1)
        first = by_number.add("t", 1)
        self.assertRaises(OutgoingFull, by_number.add, "t", 2)
        by_number.done(first)
        by_number.add("t", 2)
        by_bytes = outgoing(max_publish_bytes=10)
        by_bytes.add("t", "12345")
        self.assertRaises(OutgoingFull, by_bytes.add, "t", "1")

    def test_refused(self) -> None:
        """What no server would take is not kept."""
        waiting = outgoing(max_data_bytes=5)
        self.assertRaises(MessageTooLarge, waiting.add, "t", "long text")
        self.assertRaises(BodyInvalid, waiting.add, "t", object())
        self.assertRaises(BodyInvalid, waiting.add, 7, 1)
        self.assertEqual(len(waiting), 0)

    def test_answers(self) -> None:
        """By ref, once; a ref of nobody is nothing."""
        waiting = outgoing()
        first, second = waiting.add("t", 1), waiting.add("t", 2)
        waiting.sent(first, 10, 0.0)
        waiting.sent(second, 11, 0.0)
        (settled,) = waiting.failed(11, of_code("channel-unknown", "no"), 0.0)
        self.assertEqual(settled.number, second.number)
        self.assertIsInstance(settled.error, ChannelUnknown)
        self.assertEqual(list(waiting.acked(10, "7")), [Settle(first.number, "7")])
        for ref in (10, 12, "10", None, []):
            self.assertEqual(list(waiting.acked(ref, "8")), [], ref)

    def test_overdue(self) -> None:
        """From its last sending on; the error has the key to try it again with."""
        waiting = outgoing(answer_ms=1000)
        publish = waiting.add("t", 1, "mine")
        self.assertIsNone(waiting.overdue_at)
        waiting.sent(publish, 1, 500.0)
        self.assertEqual(list(waiting.overdue(1499.0)), [])
        (settled,) = waiting.overdue(1500.0)
        assert isinstance(settled.error, NoAnswer)
        self.assertEqual(settled.error.idempotency_key, "mine")
        self.assertEqual(len(waiting), 0)

    def test_topics(self) -> None:
        """One topic's end is not another's."""
        waiting = outgoing()
        mine, other = waiting.add("t", 1, topic=1), waiting.add("t", 2, topic=2)
        (settled,) = waiting.give_up(None, 1)
        self.assertEqual(settled.number, mine.number)
        self.assertIsInstance(settled.error, SubscriptionClosed)
        self.assertEqual(list(waiting.unsent(2)), [other])

    def test_refused_for_now(self) -> None:
        """It keeps its place and its key; its topic waits as long as the server says, and goes on
        one at a time until nothing of it waits."""
        waiting = outgoing()
        first, second, third = (waiting.add("t", n) for n in range(3))
        for ref, publish in enumerate((first, second, third)):
            waiting.sent(publish, ref, 0.0)
        for ref in (0, 1):
            self.assertEqual(list(waiting.failed(ref, LATER, 100.0)), [])
        self.assertEqual((waiting.resume_at, waiting.ready(1099.0)), (1100.0, []))
        self.assertEqual(list(waiting.unsent()), [])
        self.assertEqual(list(waiting.acked(2, "9")), [Settle(third.number, "9")])
        self.assertEqual((waiting.ready(1100.0), waiting.resume_at), ([0], None))
        self.assertEqual(list(waiting.unsent()), [first])
        waiting.sent(first, 3, 1100.0)
        self.assertEqual(list(waiting.unsent()), [])
        list(waiting.acked(3, "10"))
        self.assertEqual(list(waiting.unsent()), [second])
        waiting.sent(second, 4, 1100.0)
        list(waiting.acked(4, "11"))
        self.assertEqual(waiting.ready(1100.0), [])
        fourth, fifth = waiting.add("t", 4), waiting.add("t", 5)
        self.assertEqual(list(waiting.unsent()), [fourth, fifth])

    def test_refused_for_now_alone(self) -> None:
        """Another topic goes on; so does the same one on the next connection."""
        waiting = outgoing()
        mine, other = waiting.add("t", 1, topic=1), waiting.add("t", 2, topic=2)
        waiting.sent(mine, 1, 0.0)
        list(waiting.failed(1, LATER, 0.0))
        self.assertEqual((list(waiting.unsent(1)), list(waiting.unsent(2))), ([], [other]))
        waiting.connection_lost()
        self.assertIsNone(waiting.resume_at)
        self.assertEqual(list(waiting.unsent(1)), [mine])

    def test_not_for_now(self) -> None:
        """Who says no time says no; but for a server that stops, or credentials that have expired,
        whose connection begins anew."""
        for code, kept in (
            ("rate-limited", False),
            ("internal-error", False),
            ("verify-rejected", False),
            ("shutting-down", True),
            ("credentials-expired", True),
        ):
            waiting = outgoing()
            waiting.sent(waiting.add("t", 1), 1, 0.0)
            settled = list(waiting.failed(1, of_code(code), 0.0))
            self.assertEqual((len(waiting) == 1, settled == []), (kept, kept), code)

    @given(
        st.lists(st.sampled_from(["add", "send", "ack", "later", "cut", "overdue"]), max_size=60)
    )
    def test_one_outcome(self, steps: list[str]) -> None:
        """Whatever happens, each has one outcome in the end, and no byte is still counted."""
        waiting, refs, now = outgoing(), itertools.count(), 0.0
        numbers: list[int] = []
        settled: list[Settle] = []
        for step in steps:
            now += 10_000.0
            if step == "add":
                numbers.append(waiting.add("t", "data").number)
            elif step == "send":
                for publish in waiting.unsent():
                    waiting.sent(publish, next(refs), now)
            elif step == "ack":
                settled += waiting.acked(next(iter(waiting._by_ref), None), "7")
            elif step == "later":
                settled += waiting.failed(next(iter(waiting._by_ref), None), LATER, now)
                waiting.ready(now + 5_000.0)
            elif step == "cut":
                waiting.connection_lost()
            else:
                settled += waiting.overdue(now)
        settled += waiting.give_up(None)
        self.assertEqual(sorted(one.number for one in settled), numbers)
        self.assertEqual((len(waiting), waiting._bytes, waiting.overdue_at), (0, 0, None))
        self.assertEqual(waiting._paces, {})
