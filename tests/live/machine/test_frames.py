"""Frames, positions and limits as values."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist.live.machine.frames import (
    MESSAGES,
    OVERHEAD,
    UNSEQUENCED,
    Bounds,
    Frame,
    Info,
)


class FrameTests(SynchronousTestCase):
    """The size of a frame, against credit and in a queue."""

    def test_size(self) -> None:
        """Credit counts the data and the marks of its dates and bytes, and nothing else."""
        frame = Frame("send", seq=7, data=b'"day"', values=b"[...]", kind="text")
        self.assertEqual(frame.size, 10)
        self.assertEqual(Frame("close", timeout=5.0).size, 0)

    def test_weight(self) -> None:
        """A queue counts a fixed overhead as well, so that many empty messages fill it too."""
        self.assertEqual(Frame("send").weight, OVERHEAD)
        self.assertEqual(Frame("send", data=b"1234").weight, OVERHEAD + 4)

    def test_kinds(self) -> None:
        """Messages are sequenced: what counts against credit can be acknowledged."""
        self.assertEqual(MESSAGES & UNSEQUENCED, frozenset())


class InfoTests(SynchronousTestCase):
    """The place of a publication, as JSON carries it."""

    def test_in_memory(self) -> None:
        """A publication that is not stored has no cursor."""
        self.assertEqual(Info(1, 2, 3).said, {"seq": 1, "timestamp": 2, "epoch": 3})

    def test_durable(self) -> None:
        """A cursor is text: JavaScript would round a number of that size."""
        said = Info(1, 2, 3, 2**60).said
        self.assertEqual(said["cursor"], "1152921504606846976")


class BoundsTests(SynchronousTestCase):
    """Limits of one end."""

    def test_with_buffer(self) -> None:
        """One number limits text and binary data each, and changes nothing else."""
        before = Bounds(replay=5, window_messages=6)
        after = before.with_buffer(9)
        self.assertEqual((after.buffer, after.buffer_binary), (9, 9))
        self.assertEqual((after.replay, after.window_messages), (5, 6))
        self.assertEqual(before.buffer, Bounds().buffer)
