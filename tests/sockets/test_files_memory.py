"""F12: the memory of a server does not depend on the size of a file or the pace of a reader."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from takotwist.streams.files import static_dir
from tests.sockets.files_site import listen

SIZE = 4 * 1024**3
MEGABYTE = 1_048_576


class Curl(ProcessProtocol):
    """A reader in a process of its own."""

    def __init__(self) -> None:
        self.ended: Deferred[None] = Deferred()
        self.out = b""

    def outReceived(self, data: bytes) -> None:
        self.out += data

    def processEnded(self, reason: Failure) -> None:
        if reason.check(ProcessDone) or reason.value.signal == signal.SIGTERM:  # type: ignore[union-attr]
            self.ended.callback(None)
        else:
            self.ended.errback(reason)


class SlowReaders(TestCase):
    """A sparse file of 4 GB."""

    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        self.target = Path(self.mktemp())
        with open(folder / "huge", "wb") as file:
            file.truncate(SIZE)
            file.seek(SIZE - 5)
            file.write(b"<end>")
        self.resource = static_dir(folder)

    async def check(self, version: str, *, tls: bool) -> None:
        """A reader at 200 kB/s gets on, and the server's memory stays where it was."""
        port = listen(self, self.resource, tls=tls)
        url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/huge"
        await self.run_curl(version, "-r", "0-1000000", "-o", "/dev/null", url)  # warm
        before = resident()
        reader = Curl()
        slowly = ("--limit-rate", "200k", "-o", str(self.target), url)
        process = self.spawn(reader, version, *slowly)
        highest = turns = got = 0
        while turns < 20 or got <= 100_000:
            await deferLater(reactor, 0.1)  # type: ignore[arg-type]
            highest, turns = max(highest, resident()), turns + 1
            got = self.target.stat().st_size if self.target.exists() else 0
        process.signalProcess("TERM")  # type: ignore[attr-defined]
        await reader.ended
        self.assertLess(highest - before, 6 * MEGABYTE)

    def spawn(self, reader: Curl, *arguments: str) -> object:
        """Start curl."""
        return reactor.spawnProcess(  # type: ignore[attr-defined]
            *(reader, "curl", ["curl", "-sSk", "--max-time", "60", *arguments]), env=os.environ
        )

    async def run_curl(self, *arguments: str) -> bytes:
        """Run curl to its end."""
        reader = Curl()
        self.spawn(reader, *arguments)
        await reader.ended
        return reader.out

    def test_plaintext(self) -> Deferred[None]:
        """F12: by sendfile, nothing of the file is in this process at all."""
        return Deferred.fromCoroutine(self.check("--http1.1", tls=False))

    def test_tls(self) -> Deferred[None]:
        """F12: over TLS, a chunk or two."""
        return Deferred.fromCoroutine(self.check("--http1.1", tls=True))

    def test_http2(self) -> Deferred[None]:
        """F12: over HTTP/2, no more than our own bound, though curl's window is 32 MiB."""
        return Deferred.fromCoroutine(self.check("--http2", tls=True))

    async def test_offsets_beyond_32_bits(self) -> None:
        """The end of a huge file is found, whatever the transport."""
        for version, tls in (("--http1.1", False), ("--http1.1", True), ("--http2", True)):
            port = listen(self, self.resource, tls=tls)
            url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/huge"
            got = await self.run_curl(version, "-r", f"{SIZE - 200_000}-", url)
            self.assertEqual((len(got), got[-6:]), (200_000, b"\x00<end>"))


def resident() -> int:
    """Bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
