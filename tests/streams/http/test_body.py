"""A request's body on its way to its receiver."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.http.body import RequestBody


class Receiver:
    """Keeps what it is told, and whether it was told anything while it had asked for a pause."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.ends: list[str] = []
        self.paused = False
        self.disturbed = False

    def body_chunk(self, data: bytes) -> None:
        """See `BodyReceiver`."""
        self.disturbed = self.disturbed or self.paused or bool(self.ends)
        self.got.append(data)

    def body_end(self) -> None:
        """See `BodyReceiver`."""
        self.disturbed = self.disturbed or self.paused
        self.ends.append("end")

    def body_lost(self) -> None:
        """See `BodyReceiver`."""
        self.ends.append("lost")


class TestRequestBody(SynchronousTestCase):
    """`RequestBody`."""

    def setUp(self) -> None:
        self.reading: list[bool] = []
        self.body = RequestBody(
            lambda: self.reading.append(False), lambda: self.reading.append(True)
        )
        self.receiver = Receiver()

    @given(
        st.lists(st.sampled_from(["came", "take", "hold", "go on"]), max_size=20),
        st.sampled_from(["end", "lost"]),
    )
    def test_any_order(self, steps: list[str], end: str) -> None:
        """A receiver gets each byte once and in order, then one end; in a pause only a loss."""
        self.setUp()
        body, receiver = self.body, self.receiver
        sent, taken = b"", False
        for number, step in enumerate(steps):
            if step == "came":
                sent += b"%d," % number
                body.came(b"%d," % number)
            elif step == "take" and not taken:
                taken = True
                body.take(receiver)
            elif taken:
                receiver.paused = step == "hold"
                (body.hold if receiver.paused else body.go_on)()
        if not taken:
            body.take(receiver)
        (body.ended if end == "end" else body.lost)()
        in_pause, receiver.paused = receiver.paused, False
        body.go_on()
        self.assertFalse(receiver.disturbed)
        got = b"".join(receiver.got)
        if end == "lost" and in_pause:
            # Nobody waits for the receiver of a body that will never be whole.
            self.assertTrue(sent.startswith(got))
        else:
            self.assertEqual(got, sent)
        self.assertEqual(receiver.ends, [end])

    def test_back_pressure(self) -> None:
        """Nothing more is read while nobody takes what came, and reading goes on with a taker."""
        self.body.came(b"a")
        self.assertEqual(self.reading, [False])
        self.body.take(self.receiver)
        self.assertEqual((self.receiver.got, self.reading[-1]), ([b"a"], True))

    def test_pause(self) -> None:
        """A receiver's pause is a pause of the reading, once; a whole body needs none."""
        self.body.take(self.receiver)
        self.reading.clear()
        self.body.hold()
        self.body.hold()
        self.assertEqual(self.reading, [False])
        self.body.go_on()
        self.body.ended()
        self.body.hold()
        self.assertEqual(self.reading, [False, True])

    def test_drop(self) -> None:
        """A body that nobody wants any more is told to nobody, nor is its end."""
        self.body.take(self.receiver)
        self.body.drop()
        self.body.came(b"a")
        self.body.lost()
        self.assertEqual((self.receiver.got, self.receiver.ends), ([], []))
        self.assertFalse(self.body.is_taken)

    def test_lost_behind_the_end(self) -> None:
        """A client that leaves behind a whole body has not cut it short."""
        self.body.take(self.receiver)
        self.body.ended()
        self.body.lost()
        self.assertEqual(self.receiver.ends, ["end"])
