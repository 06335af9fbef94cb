"""Publishes on their way out: bounds, order, and one outcome each."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.client.errors import NoAnswer, OutgoingFull, SubscriptionClosed
from takotwist.client.machine.machine import Settle
from takotwist.client.machine.outgoing import Outgoing
from takotwist.client.machine.policy import Policy
from takotwist.errors import BodyInvalid, ChannelUnknown, MessageTooLarge


def outgoing(**policy: Any) -> Outgoing:
    keys = itertools.count()
    return Outgoing(Policy(**policy), lambda: f"key{next(keys)}")


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
        refused = ChannelUnknown("no")
        self.assertEqual(list(waiting.failed(11, refused)), [Settle(second.number, error=refused)])
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

    @given(st.lists(st.sampled_from(["add", "send", "ack", "cut", "overdue"]), max_size=60))
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
            elif step == "cut":
                waiting.connection_lost()
            else:
                settled += waiting.overdue(now)
        settled += waiting.give_up(None)
        self.assertEqual(sorted(one.number for one in settled), numbers)
        self.assertEqual((len(waiting), waiting._bytes, waiting.overdue_at), (0, 0, None))
