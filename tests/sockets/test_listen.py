"""Listeners on real sockets: what a crash left, who may connect, what systemd passes."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

import takotwist
from takotwist.server.config import ConfigProblems
from takotwist.server.listen import Listen, Listening, close_listeners, open_listeners
from tests.sockets.echo import EchoFactory, Guestbook

ROOT = Path(takotwist.__file__).parents[1]
PATIENCE = 60.0


def _echoed(family: int, address: object) -> bytes:
    """What comes back of a word that is sent to `address`."""
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(PATIENCE)
        client.connect(address)  # type: ignore[arg-type]
        client.sendall(b"hello")
        return client.recv(64)


class UnixSocketTests(TestCase):
    """The file of a Unix socket."""

    def setUp(self) -> None:
        # Short, because the system takes no more than 107 bytes of it.
        folder = tempfile.TemporaryDirectory(prefix="tako")
        self.addCleanup(folder.cleanup)
        self.path = f"{folder.name}/a.sock"

    async def _open(self, text: str) -> list[Listening]:
        guests = Guestbook(EchoFactory())
        opened = await open_listeners(reactor, [Listen(endpoint=text, factory=guests)])
        self.addCleanup(guests.everybody_gone)
        self.addCleanup(lambda: ensureDeferred(close_listeners(opened)))
        return opened

    async def test_served(self) -> None:
        """Who may connect gets an answer, and at the end the file is gone."""
        opened = await self._open(f"unix:{self.path}:mode=600")
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)
        self.assertEqual(opened[0].address, f"unix:{self.path}")
        answer = await deferToThread(_echoed, socket.AF_UNIX, self.path)
        self.assertEqual(answer, b"hello")
        await close_listeners(opened)
        self.assertFalse(os.path.exists(self.path))
        self.assertEqual(os.listdir(os.path.dirname(self.path)), [])

    async def test_left_by_a_crash(self) -> None:
        """A file behind which nobody answers is removed."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
            dead.bind(self.path)
        await self._open(f"unix:{self.path}:mode=600")
        answer = await deferToThread(_echoed, socket.AF_UNIX, self.path)
        self.assertEqual(answer, b"hello")

    async def test_served_by_another(self) -> None:
        """A socket that somebody serves is not taken away from them."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as alive:
            alive.bind(self.path)
            alive.listen()
            error = await self.assertFailure(
                ensureDeferred(self._open(f"unix:{self.path}")), ConfigProblems
            )
        self.assertIn("is served by another process", str(error))
        self.assertTrue(os.path.exists(self.path))

    async def test_file_that_is_no_socket(self) -> None:
        """A file of another kind, such as a mistyped path's, is never removed."""
        Path(self.path).write_text("precious")
        error = await self.assertFailure(
            ensureDeferred(self._open(f"unix:{self.path}")), ConfigProblems
        )
        self.assertIn("is no socket", str(error))
        self.assertEqual(Path(self.path).read_text(), "precious")

    async def test_folder_is_made(self) -> None:
        """A state folder that is not there yet is made, for its owner and group."""
        folder = os.path.dirname(self.path) + "/state"
        await self._open(f"unix:{folder}/a.sock")
        self.assertEqual(stat.S_IMODE(os.stat(folder).st_mode) & 0o007, 0)


class PortTests(TestCase):
    """Ports of TCP."""

    async def test_in_use(self) -> None:
        """A port that another process has is told with what to do."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            listen = Listen(endpoint=f"tcp:{port}:interface=127.0.0.1", factory=EchoFactory())
            error = await self.assertFailure(
                ensureDeferred(open_listeners(reactor, [listen])), ConfigProblems
            )
        self.assertIn(f"port {port} is in use", str(error))


class PassedSocketTests(TestCase):
    """Sockets that systemd opened, in a process of its own."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="tako")
        self.addCleanup(folder.cleanup)
        self.path = f"{folder.name}/a.sock"
        self.port = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(self.port.close)
        self.unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.addCleanup(self.unix.close)
        self.unix.bind(self.path)
        os.chmod(self.path, 0o640)
        self.unix.listen()

    def _start(self, *endpoints: str, names: str = "web:private") -> subprocess.Popen[str]:
        program = subprocess.Popen(
            [sys.executable, "-m", "tests.sockets.listening_program", *endpoints],
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "PASSED_FDS": f"{self.port.fileno()},{self.unix.fileno()}",
                "PASSED_NAMES": names,
            },
            cwd=ROOT,
            pass_fds=(self.port.fileno(), self.unix.fileno()),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(self._stop, program)
        return program

    def _stop(self, program: subprocess.Popen[str]) -> None:
        """End it as its standard input ends, and wait."""
        program.communicate(timeout=PATIENCE)

    async def test_served(self) -> None:
        """By index and by name; afterwards systemd still has its sockets, as they were."""
        program = self._start("systemd:domain=INET:index=0", "systemd:domain=UNIX:name=private")
        assert program.stdout is not None
        line = await deferToThread(program.stdout.readline)
        address = self.port.getsockname()
        self.assertEqual(line.split(), [f"http://127.0.0.1:{address[1]}", f"unix:{self.path}"])
        self.assertEqual(await deferToThread(_echoed, socket.AF_INET, address), b"hello")
        self.assertEqual(await deferToThread(_echoed, socket.AF_UNIX, self.path), b"hello")
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o640)
        await deferToThread(self._stop, program)
        self.assertEqual(program.returncode, 0)
        self.assertTrue(os.path.exists(self.path))

    async def test_without_names(self) -> None:
        """Sockets need no names, and their number need not be that of the names."""
        for names in ("", "web"):
            program = self._start("systemd:domain=INET:index=0", names=names)
            assert program.stdout is not None
            line = await deferToThread(program.stdout.readline)
            address = self.port.getsockname()
            self.assertEqual(line.split(), [f"http://127.0.0.1:{address[1]}"])
            self.assertEqual(await deferToThread(_echoed, socket.AF_INET, address), b"hello")
            await deferToThread(self._stop, program)
        program = self._start("systemd:domain=INET:name=web", names="")
        assert program.stdout is not None
        told = await deferToThread(program.stdout.readline)
        self.assertIn("no socket of this name; it passed unknown", told)

    async def test_behind_a_proxy(self) -> None:
        """Such a socket may have a proxy before it that says whose connection it is."""
        program = self._start("haproxy:systemd:domain=INET:index=0", names="")
        assert program.stdout is not None
        await deferToThread(program.stdout.readline)
        with socket.create_connection(self.port.getsockname(), timeout=PATIENCE) as client:
            client.sendall(b"PROXY TCP4 192.0.2.1 192.0.2.2 40000 80\r\nhello")
            self.assertEqual(await deferToThread(client.recv, 64), b"hello")

    async def test_restart_refuses_nobody(self) -> None:
        """Who connects between two runs waits, and is served by the second."""
        first = self._start("systemd:domain=INET:index=0")
        assert first.stdout is not None
        await deferToThread(first.stdout.readline)
        await deferToThread(self._stop, first)
        waiting = deferToThread(_echoed, socket.AF_INET, self.port.getsockname())
        self._start("systemd:domain=INET:index=0")
        self.assertEqual(await waiting, b"hello")

    async def test_wrong_words(self) -> None:
        """Another kind, another name, an index too high: each is told what was passed."""
        program = self._start(
            "systemd:domain=INET6:index=0",
            "systemd:domain=INET:name=www",
            "systemd:domain=INET:index=7",
        )
        assert program.stdout is not None
        told = [await deferToThread(program.stdout.readline) for _ in range(3)]
        self.assertIn("a socket of domain=INET; write that", told[0])
        self.assertIn("no socket of this name; it passed web, private", told[1])
        self.assertIn("systemd passed 2; the first has the index 0", told[2])
