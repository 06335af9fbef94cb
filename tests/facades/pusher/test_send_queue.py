"""What a client has triggered itself is left out of what it is given, and nothing else is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.codecs.websocket_frame import text_frame
from takotwist.core.send_queue import FlushBatch
from takotwist.facades.pusher.send_queue import MOST, PusherSendQueue, frames_of

_TEXTS = st.lists(
    st.sampled_from([b"a", b"b", b"c", b"x" * 126, b"y" * 70_000]), min_size=1, max_size=8
)


class LeaveOutTests(SynchronousTestCase):
    """A connection whose bytes are gathered."""

    def setUp(self) -> None:
        self.written: list[bytes] = []
        self.batch = FlushBatch()
        self.queue = PusherSendQueue(1 << 20, self.batch)
        self.queue.connect(None, self.written.append)

    @given(_TEXTS)
    def test_frames(self, texts: list[bytes]) -> None:
        frames = [text_frame(text) for text in texts]
        self.assertEqual(list(frames_of(b"".join(frames))), frames)

    @given(_TEXTS)
    def test_one_of_each(self, texts: list[bytes]) -> None:
        """One frame for each that was named, wherever it stands among others."""
        self.setUp()
        frames = [text_frame(text) for text in texts]
        for frame in dict.fromkeys(frames):
            self.queue.leave_out(frame)
        self.assertTrue(self.queue.push(b"".join(frames)))
        self.batch.end()
        left = list(frames)
        for frame in dict.fromkeys(frames):
            left.remove(frame)
        self.assertEqual(b"".join(self.written), b"".join(left))

    def test_not_taken(self) -> None:
        """Who could not take it is given it later, and then it is still left out."""
        mine, other = text_frame(b"mine"), text_frame(b"other")
        self.queue.leave_out(mine)
        self.queue.paused = True
        self.assertFalse(self.queue.push(mine + other))
        self.queue.paused = False
        self.assertTrue(self.queue.push(mine + other))
        self.batch.end()
        self.assertEqual(self.written, [other])

    def test_never_came(self) -> None:
        mine = text_frame(b"mine")
        self.queue.leave_out(mine)
        self.queue.leave_in(mine)
        self.queue.leave_in(mine)
        self.queue.push(mine)
        self.batch.end()
        self.assertEqual(self.written, [mine])

    def test_bound(self) -> None:
        for number in range(3 * MOST):
            self.queue.leave_out(text_frame(b"%d" % number))
        self.queue.push(text_frame(b"0") + text_frame(b"%d" % (3 * MOST - 1)))
        self.batch.end()
        self.assertEqual(self.written, [text_frame(b"0")])
