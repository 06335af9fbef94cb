"""The writer of a streamed message without I/O: any order of what it writes and is told."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.app.stream_call import AppendCall, RenewCall, StreamReply
from takotwist.app.stream_machine import MOST_UNSENT, TEXT_CHARACTERS, StreamMachine
from takotwist.errors import (
    BodyInvalid,
    MessageTooLarge,
    StreamEnded,
    StreamTaken,
    Unreachable,
)


def opened(*, text: bool = True) -> StreamMachine:
    """One that is open since 0."""
    machine = StreamMachine("a", text)
    machine.opened(StreamReply("1", 3, 0, "", 15.0), 0.0)
    return machine


def appended(machine: StreamMachine, now: float) -> AppendCall:
    """What it appends now."""
    call = machine.next(now)
    assert isinstance(call, AppendCall), call
    return call


class MachineTests(SynchronousTestCase):
    """Machine."""

    def test_gathers(self) -> None:
        """The first token goes at once, what comes meanwhile together, and not too soon."""
        machine = opened()
        machine.write("a")
        first = appended(machine, 1.0)
        self.assertEqual((first.values, first.seq, first.epoch, first.end), (b'["a"]', 0, 3, ""))
        machine.write("b")
        self.assertIsNone(machine.next(1.01))
        machine.answered(StreamReply())
        machine.write("c")
        wait = machine.next(1.02)
        assert isinstance(wait, float)
        self.assertAlmostEqual(wait, 0.02)
        second = appended(machine, 1.05)
        self.assertEqual((second.values, second.seq), (b'["bc"]', 1))
        self.assertFalse(machine.stored)
        machine.answered(StreamReply())
        self.assertTrue(machine.stored)

    def test_values(self) -> None:
        """Each is itself."""
        machine = opened(text=False)
        for value in ("a", {"b": 1}, None):
            machine.write(value)
        self.assertEqual(appended(machine, 0.0).values, b'["a",{"b":1},null]')
        self.assertRaises(BodyInvalid, machine.write, float("nan"))
        self.assertRaises(BodyInvalid, machine.write, object())

    def test_text_alone(self) -> None:
        """Of a message of text; nothing is nothing."""
        machine = opened()
        for value in (1, b"a", None, "\ud800"):
            self.assertRaises(BodyInvalid, machine.write, value)
        machine.write("")
        self.assertIsInstance(machine.next(0.0), float)

    def test_end(self) -> None:
        """Goes with the last of the text, at once; nothing follows it."""
        machine = opened()
        machine.write("a")
        appended(machine, 0.0)
        machine.write("b")
        machine.end("ended")
        self.assertRaises(StreamEnded, machine.write, "c")
        machine.answered(StreamReply())
        last = appended(machine, 0.001)
        self.assertEqual((last.values, last.end), (b'["b"]', "ended"))
        machine.answered(StreamReply())
        self.assertTrue(machine.over)
        self.assertIsNone(machine.next(100.0))

    def test_renews(self) -> None:
        """Within a third of its lease, while it is silent."""
        machine = opened()
        self.assertEqual(machine.next(1.0), 4.0)
        self.assertEqual(machine.next(5.0), RenewCall("a", 3))
        machine.answered(StreamReply())
        self.assertEqual(machine.next(6.0), 4.0)
        machine.write("a")
        appended(machine, 6.0)
        machine.answered(StreamReply())
        self.assertEqual(machine.next(6.0), 5.0)

    def test_cancelled(self) -> None:
        """What waits is dropped, and the next word is refused."""
        machine = opened()
        machine.write("a")
        appended(machine, 0.0)
        machine.write("b")
        machine.answered(StreamEnded(how="cancelled"))
        self.assertTrue(machine.cancelled and machine.over and machine.stored)
        self.assertRaises(StreamEnded, machine.write, "c")
        machine.end("ended")
        self.assertIsNone(machine.next(1.0))

    def test_taken(self) -> None:
        """By another writer: a clear error, and nothing more is sent."""
        machine = opened()
        machine.next(5.0)
        machine.answered(StreamTaken())
        self.assertRaises(StreamTaken, machine.write, "c")
        self.assertTrue(machine.over)
        self.assertFalse(machine.cancelled)

    def test_too_large(self) -> None:
        """Nothing of it was stored, so the number is used again, for an end that says so."""
        machine = opened()
        machine.write("a")
        appended(machine, 0.0)
        machine.answered(MessageTooLarge("Too much."))
        self.assertRaises(MessageTooLarge, machine.check)
        last = appended(machine, 0.0)
        self.assertEqual((last.seq, last.end, last.error), (0, "failed", "Too much."))
        machine.answered(StreamReply())
        self.assertTrue(machine.over)

    def test_unreachable(self) -> None:
        """Nobody knows what the number holds: nothing more is sent under it."""
        machine = opened()
        machine.write("a")
        appended(machine, 0.0)
        machine.answered(Unreachable("gone"))
        self.assertTrue(machine.over)
        self.assertRaises(Unreachable, machine.write, "b")

    def test_full(self) -> None:
        """Much that waits is cut into calls, and the writer is to wait."""
        machine = opened()
        machine.write("é" * MOST_UNSENT)
        self.assertTrue(machine.full)
        first = appended(machine, 0.0)
        self.assertEqual(json.loads(first.values), ["é" * TEXT_CHARACTERS])
        self.assertFalse(machine.full)

    @given(
        st.lists(
            st.one_of(
                st.tuples(st.just("write"), st.text(alphabet="aé\n", max_size=5)),
                st.tuples(st.just("step"), st.sampled_from([0.0, 0.01, 0.05, 6.0])),
                st.tuples(st.just("answer"), st.just("")),
            ),
            max_size=60,
        )
    )
    def test_any_order(self, steps: list[tuple[str, str | float]]) -> None:
        """What is appended is what was written, in calls whose numbers have no gap."""
        machine, now, written = opened(), 0.0, ""
        sent: list[AppendCall] = []
        under_way = False

        def step() -> bool:
            call = machine.next(now)
            if isinstance(call, AppendCall):
                sent.append(call)
            return isinstance(call, AppendCall | RenewCall)

        for kind, what in steps:
            if kind == "write":
                machine.write(what)
                written += str(what)
            elif kind == "answer" and under_way:
                under_way = False
                machine.answered(StreamReply())
            elif kind == "step":
                now += float(what)
                called = step()
                self.assertFalse(called and under_way)
                under_way = under_way or called
        machine.end("ended")
        while not machine.over:
            if not under_way:
                self.assertTrue(step())
            under_way = False
            machine.answered(StreamReply())
        self.assertEqual([call.seq for call in sent], list(range(len(sent))))
        self.assertEqual([call.end for call in sent if call.end], ["ended"])
        texts = [json.loads(call.values)[0] for call in sent if call.values]
        self.assertEqual("".join(texts), written)
