"""A request's body is read whole, or not at all."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from takotwist.errors import MessageTooLarge
from takotwist.transports.body import whole_body


class Request:
    """Hands its body to who asked for it."""

    reader: Any

    def stream_body(self, reader: Any) -> None:
        """See `StreamRequest`."""
        self.reader = reader


class TestWholeBody(SynchronousTestCase):
    """`whole_body` with a limit of 4 bytes."""

    def setUp(self) -> None:
        self.request = Request()
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

    def test_lost(self) -> None:
        """A peer that leaves in the middle leaves no half body."""
        self.reader.body_chunk(b"ab")
        self.reader.body_lost()
        self.failureResultOf(self.done, CancelledError)
