"""Accept-Encoding against what is there."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.files.negotiate import IDENTITY, rank, weights


class Rank(SynchronousTestCase):
    """F8: which coding is sent."""

    def check(self, header: bytes | None, *expected: str) -> None:
        """The codings that may be sent for `header`, best first."""
        self.assertEqual(rank(header, ("br", "gzip")), expected, header)

    def test_servers_order_settles_ties(self) -> None:
        """F8: codings of equal weight come in the server's order."""
        self.check(b"gzip, br", "br", "gzip", IDENTITY)
        self.check(b"gzip, deflate, br, zstd", "br", "gzip", IDENTITY)

    def test_weights_decide(self) -> None:
        """F8: the client's favourite wins over the server's."""
        self.check(b"gzip;q=1, br;q=0.5", "gzip", "br", IDENTITY)
        self.check(b"identity, gzip;q=0.5", IDENTITY, "gzip")
        self.check(b"gzip;q=0.001", "gzip", IDENTITY)

    def test_refused(self) -> None:
        """F8: a weight of zero refuses, however it is written."""
        for zero in (b"0", b"0.", b"0.0", b"0.00", b"0.000"):
            self.check(b"br;q=" + zero + b", gzip", "gzip", IDENTITY)

    def test_star(self) -> None:
        """F8: ``*`` is every coding without a weight of its own, identity included."""
        self.check(b"*", "br", "gzip", IDENTITY)
        self.check(b"br;q=0, *", "gzip", IDENTITY)
        self.check(b"gzip, *;q=0", "gzip")
        self.check(b"*;q=0, identity", IDENTITY)

    def test_nothing_acceptable(self) -> None:
        """A client can refuse everything, and then gets nothing."""
        self.check(b"*;q=0")
        self.check(b"identity;q=0")
        self.check(b"identity;q=0, gzip;q=0")

    def test_absent_and_empty(self) -> None:
        """Without the header, or with an empty one, only the original is sent."""
        self.check(None, IDENTITY)
        self.check(b"", IDENTITY)
        self.check(b"deflate", IDENTITY)

    def test_spelling(self) -> None:
        """Case does not matter, blanks are allowed, and ``x-gzip`` is gzip."""
        self.check(b"BR ; Q=0.1 , X-GZIP", "gzip", "br", IDENTITY)

    def test_malformed_members_count_as_absent(self) -> None:
        """A weight that is none does not switch a coding on."""
        for weight in (b"2", b"0.0001", b"-1", b"", b"x"):
            self.check(b"br;q=" + weight, IDENTITY)
        self.check(b"br;level=9, b r", IDENTITY)
        self.assertEqual(weights(b"br;q=0.5, br"), {"br": 0.5})

    @given(st.binary(max_size=40))
    def test_any_bytes(self, header: bytes) -> None:
        """No header makes it fail, and nothing is offered that is not there."""
        self.assertLessEqual(set(rank(header, ("br",))), {"br", IDENTITY})
