"""Commands in a shell's pipe, before a program that has soon had enough."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.sockets.server_process import FAST, ServerProcess

TAIL = ("tail", "chat", "-p", "roomId=a", "--cursor", "0")


class PipeTests(SynchronousTestCase):
    """Each prints, its reader leaves, and it ends without a word."""

    def setUp(self) -> None:
        self.server = ServerProcess(FAST)
        self.addCleanup(self.server.close)
        self.server.start()
        self.publish(1)

    def publish(self, number: int) -> None:
        """A message."""
        with self.server.private() as private:
            body = {"type": "msg", "data": number}
            private.post("/channels/chat?roomId=a", json=body).raise_for_status()

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """``tako`` in the folder of the server, its output piped."""
        tako = Path(self.server.command[0]).with_name("tako")
        process = subprocess.Popen(
            [str(tako), *arguments],
            cwd=self.server.folder,
            env={**os.environ, "XDG_DATA_HOME": str(self.server.folder / "data")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def assert_ends_quietly(self, process: subprocess.Popen[bytes], what: object) -> None:
        """It ends by itself and has said nothing on standard error."""
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
        process.stderr.close()
        process.wait(60)
        self.assertEqual(said, b"", what)

    def test_one_line_of_each(self) -> None:
        """The first line is there; what would follow is nobody's loss."""
        for arguments in (TAIL, ("config-doc",), ("channels",), ("check-config",)):
            process = self.start(*arguments)
            assert process.stdout is not None
            self.assertTrue(process.stdout.readline(), arguments)
            self.assert_ends_quietly(process, arguments)

    def test_tail_without_another_message(self) -> None:
        """It does not wait for something to print to find that nobody reads."""
        process = self.start(*TAIL)
        assert process.stdout is not None
        self.assertIn(b'"data": 1', process.stdout.readline())
        self.assert_ends_quietly(process, "tail")
        self.assertEqual(process.returncode, 0)

    def test_tail_with_many_more(self) -> None:
        """Nor does a write into the pipe say more than that."""
        for number in range(2, 200):
            self.publish(number)
        process = self.start(*TAIL)
        self.assert_ends_quietly(process, "tail")
