from __future__ import annotations

import os
import resource
import socket

from twisted.trial.unittest import SynchronousTestCase

from tests.ready import ready


class ReadyTests(SynchronousTestCase):
    """Two ends of a connection."""

    def setUp(self) -> None:
        self.ends = socket.socketpair()
        for one in self.ends:
            self.addCleanup(one.close)
        self.one, self.other = (one.fileno() for one in self.ends)

    def test_sides(self) -> None:
        """What has come can be read, and what is not full can be written to."""
        self.assertEqual(ready([self.one]), ([], []))
        self.ends[1].send(b"x")
        self.assertEqual(ready([self.one, self.other], [self.one]), ([self.one], [self.one]))

    def test_end(self) -> None:
        """The end wakes both sides."""
        self.ends[1].close()
        self.assertEqual(ready([self.one], [self.one], 60), ([self.one], [self.one]))

    def test_large_number(self) -> None:
        """A descriptor may have any number."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        number = min(soft, 4096) - 1
        os.dup2(self.one, number)
        self.addCleanup(os.close, number)
        self.ends[1].send(b"x")
        self.assertEqual(ready([number]), ([number], []))
