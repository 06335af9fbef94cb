"""Messages between two processes."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist.server.supervisor.message_channel import MessageChannel, encoded
from tests.server.supervisor.test_log_pipe import Readers


class MessageChannelTests(SynchronousTestCase):
    """One end, and the bare other one."""

    def setUp(self) -> None:
        self.reactor = Readers()
        ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.addCleanup(self.theirs.close)
        self.said: list[Mapping[str, Any]] = []
        self.ends: list[bool] = []
        self.channel = MessageChannel(
            self.reactor,  # type: ignore[arg-type]
            ours,
            self.said.append,
            lambda: self.ends.append(True),
        )
        self.addCleanup(self.channel.stop)
        self.channel.start()

    def test_both_ways(self) -> None:
        """Each is a whole message; nothing is read that is not there."""
        self.theirs.send(encoded({"ready": True}))
        self.theirs.send(encoded({"taken": "x" * 50_000}))
        for _ in range(3):
            self.channel.doRead()
        self.assertEqual(self.said, [{"ready": True}, {"taken": "x" * 50_000}])
        self.assertTrue(self.channel.send(reload=True))
        self.assertEqual(self.theirs.recv(99), b'{"reload": true}')

    def test_end(self) -> None:
        """The other end is gone: said once, and what is sent is heard by nobody."""
        self.theirs.close()
        self.channel.doRead()
        self.assertEqual((self.ends, self.reactor.readers), ([True], []))
        self.assertFalse(self.channel.send(reload=True))
        self.channel.connectionLost(None)
        self.assertEqual(self.ends, [True])

    def test_other_reads_nothing(self) -> None:
        """Then it is not waited for."""
        while self.channel.send(text="x" * 10_000):
            pass
        self.assertEqual(self.ends, [])

    def test_stop(self) -> None:
        """The other end learns of it."""
        self.channel.stop()
        self.assertEqual(self.theirs.recv(9), b"")
        self.assertEqual((self.ends, self.reactor.readers), ([], []))
