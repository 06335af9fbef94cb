"""A request's body is read whole, or not at all."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from takotwist.errors import MessageTooLarge, Overloaded
from takotwist.streams.unfinished import Unfinished
from takotwist.transports.body import BodyTooSlow, whole_body


class Request:
    """Hands its body to who asked for it."""

    reader: Any
    stated_length: int | None = None

    def __init__(self, clock: Clock) -> None:
        self.site = SimpleNamespace(unfinished=Unfinished(clock))

    def stream_body(self, reader: Any) -> None:
        """See `StreamRequest`."""
        self.reader = reader


class TestWholeBody(SynchronousTestCase):
    """`whole_body` with a limit of 4 bytes."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.request = Request(self.clock)
        self.all = self.request.site.unfinished
        self.done = whole_body(self.request, 4)
        self.reader = self.request.reader

    def test_pieces(self) -> None:
        """It comes in any pieces and is whole at its end, up to the very limit."""
        self.reader.body_chunk(b"ab")
        self.reader.body_chunk(b"cd")
        self.assertNoResult(self.done)
        self.reader.body_end()
        self.assertEqual(self.successResultOf(self.done), b"abcd")

    def test_too_large(self) -> None:
        """One byte more is refused at once; what follows is let pass by."""
        self.reader.body_chunk(b"abcd")
        self.reader.body_chunk(b"e")
        failure = self.failureResultOf(self.done, MessageTooLarge)
        self.assertIn("4 bytes", failure.value.sentence)
        self.reader.body_chunk(b"f")
        self.reader.body_end()
        self.reader.body_lost()

    def test_stated(self) -> None:
        """What is said to be too large is not asked for."""
        request = Request(self.clock)
        request.stated_length = 5
        self.assertRaises(MessageTooLarge, whole_body, request, 4)
        self.assertFalse(hasattr(request, "reader"))

    def test_lost(self) -> None:
        """A peer that leaves in the middle leaves no half body."""
        self.reader.body_chunk(b"ab")
        self.reader.body_lost()
        self.failureResultOf(self.done, CancelledError)

    def test_too_slow(self) -> None:
        """One that does not come on is refused; nothing of it is counted then."""
        self.reader.body_chunk(b"ab")
        self.clock.advance(30)
        failure = self.failureResultOf(self.done, BodyTooSlow)
        self.assertEqual(failure.value.http_status, 408)
        self.assertEqual((self.all.held, self.all.waited_for), (0, 0))
        self.reader.body_chunk(b"cdefg")
        self.reader.body_lost()

    def test_overloaded(self) -> None:
        """One for which there is no room is refused."""
        self.all.most = 1
        self.reader.body_chunk(b"ab")
        self.failureResultOf(self.done, Overloaded)
        self.assertEqual((self.all.held, self.all.waited_for), (0, 0))
