"""Files as curl sees them, byte by byte: plaintext, TLS, and HTTP/2."""

from __future__ import annotations

import gzip
import os
import re
from email import message_from_bytes
from pathlib import Path

from twisted.trial.unittest import TestCase

from takotwist.streams.files import static_dir
from tests.sockets.files_site import curl, listen

SIZE = 3_000_000
CONTENT = os.urandom(SIZE)
TEXT = b"All work and no play.\n" * 10_000


class OverHttp1(TestCase):
    """HTTP/1.1 in plaintext, where bodies leave by sendfile."""

    tls = False
    version = "--http1.1"
    expected_version = "1.1"

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        (self.folder / "data.bin").write_bytes(CONTENT)
        (self.folder / "text.txt").write_bytes(TEXT)
        (self.folder / "text.txt.gz").write_bytes(gzip.compress(TEXT))
        (self.folder / "empty").write_bytes(b"")
        port = listen(self, static_dir(self.folder), tls=self.tls)
        self.target = Path(self.mktemp())
        self.base = f"{'https' if self.tls else 'http'}://127.0.0.1:{port}"

    async def curl(self, path: str, *arguments: str) -> bytes:
        """What curl got, which has to be without a complaint."""
        out, complaints, code = await curl(self.version, *arguments, self.base + path)
        self.assertEqual((complaints, code), (b"", 0))
        return out

    async def test_whole(self) -> None:
        """F11: a file arrives whole, over the version of HTTP that was asked for."""
        got = await self.curl("/data.bin", "-o", str(self.target))
        self.assertEqual((got, self.target.read_bytes() == CONTENT), (b"", True))
        version = await self.curl("/empty", "-w", "%{http_version}")
        self.assertEqual(version.decode(), self.expected_version)

    async def test_ranges(self) -> None:
        """F1: each form of ``curl -r`` gives the bytes that it names."""
        for value, start, stop in (
            *(("0-9", 0, 10), ("5-", 5, SIZE), ("-5", SIZE - 5, SIZE), ("0-0", 0, 1)),
            *(("0-99999999", 0, SIZE), ("-99999999", 0, SIZE), ("2999999-", SIZE - 1, SIZE)),
            *(("1000-1999999", 1000, 2_000_000), ("65535-131072", 65535, 131_073)),
        ):
            got = await self.curl("/data.bin", "-r", value, "-w", "%{http_code}")
            self.assertEqual(got[-3:], b"206", value)
            self.assertTrue(got[:-3] == CONTENT[start:stop], value)

    async def test_unsatisfiable(self) -> None:
        """F2: a range past the end is a 416, and an empty file has none."""
        for path, value in (("/data.bin", f"{SIZE}-"), ("/data.bin", "-0"), ("/empty", "0-0")):
            got = await self.curl(path, "-r", value, "-w", "%{http_code}", "-o", "/dev/null")
            self.assertEqual(got, b"416", value)

    async def test_ignored(self) -> None:
        """F3: a range that cannot be read gives the whole file."""
        for value in ("bytes=abc", "items=0-1", "bytes=9-3"):
            got = await self.curl("/data.bin", "-H", f"Range: {value}")
            self.assertTrue(got == CONTENT, value)

    async def test_several_ranges(self) -> None:
        """Ranges far apart come in one body, small ones and large ones."""
        spans = ((0, 10), (1_000_000, 2_500_000), (500_000, 500_001))
        ranges = ",".join(f"{start}-{stop - 1}" for start, stop in spans)
        got = await self.curl("/data.bin", "-r", ranges, "-D", str(self.target))
        head = self.target.read_bytes().partition(b"\r\n")[2]
        parts = message_from_bytes(head.rstrip(b"\r\n") + b"\r\n\r\n" + got).get_payload()
        assert isinstance(parts, list)
        self.assertEqual(
            [part["Content-Range"] for part in parts],
            [f"bytes {start}-{stop - 1}/{SIZE}" for start, stop in spans],
        )
        # The parser of mail changes line ends in what it returns, so look in the bytes.
        for start, stop in spans:
            self.assertIn(b"\r\n\r\n" + CONTENT[start:stop] + b"\r\n--", got)

    async def test_resume(self) -> None:
        """``curl -C -`` goes on where a download was cut."""
        self.target.write_bytes(CONTENT[:1_234_567])
        await self.curl("/data.bin", "-C", "-", "-o", str(self.target))
        self.assertTrue(self.target.read_bytes() == CONTENT)

    async def test_if_range(self) -> None:
        """F4: with the tag of this file a part, with another the whole."""
        head = (await self.curl("/data.bin", "-I")).decode()
        (etag,) = re.findall(r"(?im)^etag: (\S+)", head)
        got = await self.curl("/data.bin", "-r", "5-9", "-H", f"If-Range: {etag}")
        self.assertEqual(got, CONTENT[5:10])
        got = await self.curl("/data.bin", "-r", "5-9", "-H", 'If-Range: "old"')
        self.assertTrue(got == CONTENT)

    async def test_not_modified(self) -> None:
        """F5: what was saved with its tag is not sent again."""
        await self.curl("/data.bin", "--etag-save", str(self.target), "-o", "/dev/null")
        compare = ("--etag-compare", str(self.target))
        got = await self.curl("/data.bin", *compare, "-w", "%{http_code}")
        self.assertEqual(got, b"304")

    async def test_compressed(self) -> None:
        """F8: ``curl --compressed`` gets the sidecar and unpacks it."""
        self.assertEqual(await self.curl("/text.txt", "--compressed"), TEXT)
        only_size = ("-o", "/dev/null", "-w", "%{size_download}")
        size = await self.curl("/text.txt", "--compressed", *only_size)
        self.assertLess(int(size), len(TEXT) // 10)
        self.assertEqual(await self.curl("/text.txt"), TEXT)

    async def test_head(self) -> None:
        """F11: HEAD is GET without the body, and the connection goes on."""
        heads = []
        for arguments in (("-I",), ("-D", "-", "-o", "/dev/null")):
            text = (await self.curl("/data.bin", *arguments)).decode().lower()
            heads.append({line for line in text.splitlines() if not line.startswith("date")})
        self.assertEqual(*heads)
        self.assertIn(f"content-length: {SIZE}", heads[0])
        first = ("-I", "-o", "/dev/null", self.base + "/data.bin")
        got = await self.curl("/text.txt", *first, "--next", "-sSk")
        self.assertEqual(got, TEXT)

    async def test_one_after_the_other(self) -> None:
        """Large and small bodies follow each other on one connection."""
        urls = [self.base + path for path in ("/text.txt", "/data.bin", "/empty", "/data.bin")]
        got = await self.curl("/data.bin", *urls)
        self.assertTrue(got == TEXT + CONTENT * 2 + CONTENT)

    async def test_upwards(self) -> None:
        """F9: curl, told to send the path as it is, gets nothing from outside."""
        for path in (
            *("/../files_site.py", "/%2e%2e/x", "/..%2fx", "/%5c..%5cx", "//etc/passwd"),
            *("/data.bin%00", "/%252e%252e/x", "/.%2e/etc/passwd"),
        ):
            got = await self.curl(path, "--path-as-is", "-w", "%{http_code}", "-o", "/dev/null")
            self.assertEqual(got, b"404", path)

    async def test_truncated(self) -> None:
        """F13: a file that shrinks while it is sent is an error for the reader."""
        path = self.folder / "shrinks.bin"
        path.write_bytes(CONTENT * 20)
        slowly = ("--limit-rate", "8M", "-o", str(self.target))
        download = curl(self.version, *slowly, self.base + "/shrinks.bin")
        while not (self.target.exists() and self.target.stat().st_size):
            await turn(0.02)
        os.truncate(path, 1000)
        _, complaints, code = await download
        self.assertNotEqual(code, 0, complaints)
        self.assertLess(self.target.stat().st_size, len(CONTENT) * 20)


class OverTls(OverHttp1):
    """HTTP/1.1 over TLS, where bodies are written."""

    tls = True


class OverHttp2(OverHttp1):
    """HTTP/2 over TLS, where bodies go into streams."""

    tls = True
    version = "--http2"
    expected_version = "2"

    async def test_in_parallel(self) -> None:
        """Bodies on one connection do not mix."""
        arguments = []
        for number in range(6):
            arguments += ["-o", f"{self.target}{number}", self.base + "/data.bin"]
        await self.curl(
            "/text.txt", "-Z", "--no-progress-meter", *arguments, "-o", str(self.target)
        )
        for number in range(6):
            self.assertTrue(Path(f"{self.target}{number}").read_bytes() == CONTENT, number)
        self.assertEqual(self.target.read_bytes(), TEXT)


def turn(seconds: float) -> object:
    """Let the reactor run."""
    from twisted.internet import reactor
    from twisted.internet.task import deferLater

    return deferLater(reactor, seconds)
