from __future__ import annotations

import errno
import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.http3.roster import Roster
from takotwist.streams.http3.stateless import Address

MOST = 3

addresses = st.tuples(st.ip_addresses().map(str), st.integers(1, 65535))
notes = st.tuples(st.integers(0, 5), st.none() | addresses)


class RosterTests(SynchronousTestCase):
    """The clients of one port, as the next process finds them."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.now = 1000.0

    def roster(self, most: int = MOST) -> Roster:
        """What the next process makes of the file."""
        return Roster(self.path, most, lambda: self.now)

    @given(st.lists(notes, max_size=30))
    def test_as_a_table(self, steps: list[tuple[int, Address | None]]) -> None:
        """It reads back as a table of `MOST` connections, whatever came, moved and went."""
        roster = self.roster()
        table: dict[int, Address] = {}
        for connection, address in steps:
            if address is None:
                roster.forget(connection)
                table.pop(connection, None)
            else:
                roster.note(connection, b"id-%05d" % connection, address)
                if connection in table or len(table) < MOST:
                    table[connection] = address
        left = [(b"id-%05d" % connection, address) for connection, address in table.items()]
        self.assertEqual(sorted(self.roster().left), sorted(left))

    def test_room_on_the_disk(self) -> None:
        """All that will be written has its room from the beginning: who writes into memory that
        is mapped to a full disk is killed by a signal."""
        self.roster(1000)
        status = self.path.stat()
        self.assertGreaterEqual(512 * status.st_blocks, status.st_size)
        self.assertGreater(status.st_size, 1000 * 32)

    def test_full_disk(self) -> None:
        """Where there is no room for it, all goes on and the next process has nobody to tell."""

        def full(descriptor: int, offset: int, size: int) -> None:
            raise OSError(errno.ENOSPC, "full")

        self.patch(os, "posix_fallocate", full)
        roster = self.roster()
        roster.note(1, b"aaaaaaaa", ("192.0.2.1", 1))
        roster.alive()
        self.assertEqual(self.roster().left, [])
        roster.close()

    def test_closed(self) -> None:
        """A server that has stopped leaves nobody."""
        roster = self.roster()
        roster.note(1, b"aaaaaaaa", ("192.0.2.1", 1))
        roster.close()
        roster.close()
        self.assertEqual(self.roster().left, [])

    def test_entries(self) -> None:
        """Addresses of both kinds; places are used again; past the last nobody is written down."""
        roster = self.roster()
        wanted = [(b"aaaaaaaa", ("192.0.2.1", 1)), (b"bbbbbbbb", ("2001:db8::1", 65535))]
        for number, (name, address) in enumerate(wanted):
            roster.note(number, name, address)
        for number in range(50):
            roster.note("x", b"cccccccc", ("192.0.2.3", number + 1))
            roster.note("y", b"dddddddd", ("192.0.2.4", 4))
            roster.forget("y")
            roster.forget("x")
        self.assertEqual(self.roster().left, wanted)
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)

    def test_nonsense(self) -> None:
        """A file that holds something else is made anew."""
        for content in (b"", b"x", b"x" * 1000, bytes(31)):
            self.path.write_bytes(content)
            self.assertEqual(self.roster().left, [])
