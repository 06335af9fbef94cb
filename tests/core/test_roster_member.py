"""One member: what of it was said in which message, and what the log says of it besides."""

from __future__ import annotations

from unittest import TestCase

from takotwist.core.roster_member import NEW, UNDER_WAY, Member
from takotwist.core.roster_messages import Entry

THEIRS = Entry("ann", "", 0, b"2", b'"b"', None, info_id=7, state_id=7)


class MemberTests(TestCase):
    """One subject."""

    def test_here(self) -> None:
        """With a connection, and while it is waited for."""
        self.assertFalse(Member(0).here)
        self.assertTrue(Member(0, connections={"c"}).here)
        self.assertTrue(Member(0, gone_at=0.0).here)

    def test_stored(self) -> None:
        """What was said is new until it is about to be stored, and then is of that message."""
        member = Member(0, info=b"1")
        self.assertTrue(member.new)
        member.take()
        self.assertEqual((member.new, member.info_id), (False, UNDER_WAY))
        member.settle(5)
        self.assertEqual((member.info_id, member.new), (5, False))
        member.state = b'"a"'
        self.assertEqual((member.new, member.info_id), (False, 5))

    def test_said_after(self) -> None:
        """What is said anew is of the next message; what was said before stays with its own."""
        member = Member(0, info=b"1", info_id=5, state=b'"a"')
        self.assertEqual((member.new, member.state_id), (True, NEW))
        member.take()
        member.settle(6)
        self.assertEqual((member.info_id, member.state_id), (5, 6))

    def test_newer_of_the_log(self) -> None:
        """Of two that both have a message the later one counts."""
        for mine, counts in ((6, b"2"), (8, b"1")):
            member = Member(0, info=b"1", info_id=mine, state=b'"a"', state_id=mine)
            member.adopt(THEIRS)
            self.assertEqual((member.info, member.info_id), (counts, max(mine, 7)))
            self.assertEqual(member.state_id, max(mine, 7))

    def test_said_here_alone(self) -> None:
        """What no message has yet is not taken back by an older one, unless it says the same."""
        member = Member(0, info=b"1", state=b'"b"')
        member.adopt(THEIRS)
        self.assertEqual((member.info, member.info_id), (b"1", NEW))
        self.assertEqual((member.state, member.state_id), (b'"b"', 7))

    def test_nothing_said(self) -> None:
        """What was never said here is taken, and what the log does not say stays."""
        member = Member(0, info=b"1", info_id=5)
        member.adopt(Entry("ann", "", 0, None, b'"b"', None, state_id=7))
        self.assertEqual((member.info, member.info_id), (b"1", 5))
        self.assertEqual((member.state, member.state_id), (b'"b"', 7))
