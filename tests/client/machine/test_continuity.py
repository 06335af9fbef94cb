"""Resume state: what a cursor does, and when a reset is due."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.client.events import Message, Reset
from takotwist.client.machine.continuity import Continuity, Delivery, Position
from takotwist.client.machine.machine import Deliver, Move


def message(id: str) -> Message:
    return Message(id, "chat", "msg", None)


class PositionTests(SynchronousTestCase):
    """A cursor goes forward."""

    @given(st.lists(st.integers(0, 10**20)))
    def test_forward_only(self, ids: list[int]) -> None:
        """Whatever comes in whatever order, it stands at the greatest and says so each time."""
        position, greatest = Position("0"), 0
        for id in ids:
            self.assertIs(position.advance(str(id)), id > greatest)
            greatest = max(greatest, id)
            self.assertEqual(position.cursor, str(greatest))

    def test_by_number(self) -> None:
        """Ids are compared as numbers, not as text."""
        position = Position("9")
        self.assertTrue(position.advance("10"))
        self.assertFalse(position.advance("9"))

    def test_foreign_ids(self) -> None:
        """Of ids that are no numbers, only the very same was seen before."""
        position = Position("b")
        self.assertFalse(position.advance("b"))
        self.assertTrue(position.advance("a"))

    def test_restart(self) -> None:
        """A restart goes back on purpose; without a cursor anything is forward."""
        position = Position("9")
        position.restart("3")
        self.assertTrue(position.advance("4"))
        position.restart(None)
        self.assertTrue(position.advance("1"))


class ContinuityTests(SynchronousTestCase):
    """A reset is owed once, and paid at the right moment."""

    def test_from_the_latest_state(self) -> None:
        """It is asked for until something of it is there; then the cursor is one as any other."""
        continuity = Continuity.starting_at("newest", "reset")
        self.assertEqual(continuity.cursor, "newest")
        self.assertEqual(continuity.attached("0"), ([], True))
        self.assertEqual(continuity.attached("41"), ([], True))
        self.assertEqual(continuity.attached("40"), ([], False))
        self.assertEqual(continuity.cursor, "41")

    def test_paid_when_attached(self) -> None:
        """With the cursor at which the subscription goes on, and once."""
        continuity = Continuity.starting_at("5", "reset")
        self.assertIsNone(continuity.ended("replay-too-old"))
        self.assertIsNone(continuity.cursor)
        self.assertEqual(continuity.attached("20"), ([Reset("replay-too-old", "20")], True))
        self.assertEqual(continuity.attached("20"), ([], False))

    def test_paid_before_a_message(self) -> None:
        """Where the server said no cursor, the next message comes behind the reset."""
        continuity = Continuity.starting_at("5", "reset")
        continuity.ended("replay-too-old")
        self.assertEqual(
            continuity.received(message("21")),
            [Reset("replay-too-old", None), message("21")],
        )

    def test_first_reason(self) -> None:
        """Of several ends before a reset is paid, the first is the cause."""
        continuity = Continuity.starting_at("5", "reset")
        continuity.ended("replay-too-old")
        continuity.ended("no-cursor")
        resets, _ = continuity.attached(None)
        self.assertEqual([reset.reason for reset in resets], ["replay-too-old"])

    def test_for_the_caller(self) -> None:
        """Who wants to be asked or told gets the old cursor, and no reset later."""
        for choice in ("raise", "ask"):
            continuity = Continuity.starting_at("5", choice)
            gone = continuity.ended("replay-too-old")
            assert gone is not None
            self.assertEqual((gone.code, gone.cursor), ("replay-too-old", "5"))
            continuity.restarted("7")
            self.assertEqual(continuity.attached(None), ([], False))
            self.assertEqual(continuity.cursor, "7")

    def test_reset_of_the_server(self) -> None:
        """It pays what is owed."""
        continuity = Continuity.starting_at("5", "reset")
        continuity.ended("no-cursor")
        self.assertEqual(
            continuity.was_reset("replay-too-old", "30"), Reset("replay-too-old", "30")
        )
        self.assertEqual(continuity.received(message("31")), [message("31")])

    @given(st.lists(st.integers(1, 30)))
    def test_once(self, ids: list[int]) -> None:
        """No message is given out twice, and those that are go up."""
        continuity = Continuity.starting_at("0", "reset")
        got = [event for id in ids for event in continuity.received(message(str(id)))]
        numbers = [int(event.id) for event in got if isinstance(event, Message)]
        self.assertEqual(numbers, sorted(set(numbers)))


class DeliveryTests(SynchronousTestCase):
    """Events go out with the cursor of who has seen them."""

    def test_intents(self) -> None:
        """A moved cursor alone is a `Move`, a reset or message a `Deliver`, with their topic."""
        delivery = Delivery(Continuity.starting_at(None, "reset"), 3)
        self.assertEqual(delivery.attached("4"), [Move("4", 3)])
        self.assertEqual(delivery.attached("4"), [])
        self.assertEqual(delivery.received(message("5")), [Deliver(message("5"), "5", 3)])
        self.assertEqual(delivery.received(message("5")), [])
        self.assertEqual(delivery.was_reset("x", "9"), Deliver(Reset("x", "9"), "9", 3))
