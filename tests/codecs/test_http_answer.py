"""HTTP as bytes: requests that can be sent, and answers in any pieces."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.app.http_address import Address, request_bytes
from takotwist.codecs.http_answer import AnswerReader, BrokenAnswer, HttpAnswer

CHUNKED = (
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nA: 1\r\n"
    b"a: 2\r\n\r\n3;x=y\r\n[1,\r\n2\r\n2]\r\n0\r\nTrailer: t\r\n\r\n"
)


def read(*pieces: bytes) -> tuple[HttpAnswer | None, bool]:
    reader, answer = AnswerReader(), None
    for piece in pieces:
        answer = answer or reader.feed(piece)
    return answer, reader.reusable


class TestAnswers(SynchronousTestCase):
    def test_length(self) -> None:
        """An answer with a length ends where it says, and the connection may be kept."""
        whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Y:  z \r\n\r\n[]"
        answer, reusable = read(whole[:9], whole[9:50], whole[50:])
        headers = {"content-length": "2", "x-y": "z"}
        self.assertEqual(answer, HttpAnswer(200, headers, b"[]"))
        self.assertTrue(reusable)

    @given(st.lists(st.integers(0, len(CHUNKED)), max_size=6))
    def test_chunks(self, cuts: list[int]) -> None:
        """Chunks, their extensions, trailers and interim answers, cut anywhere."""
        places = [0, *sorted(cuts), len(CHUNKED)]
        pieces = [CHUNKED[a:b] for a, b in pairwise(places)]
        answer, reusable = read(*pieces)
        assert answer is not None
        self.assertEqual((answer.status, answer.body), (200, b"[1,2]"))
        self.assertEqual(answer.headers["a"], "1, 2")
        self.assertTrue(reusable)

    def test_not_kept(self) -> None:
        """A connection is used once where the server says so, or sent more than was asked for."""
        for whole in (
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK",
        ):
            answer, reusable = read(whole)
            self.assertIsNotNone(answer)
            self.assertFalse(reusable, whole)

    def test_until_the_end(self) -> None:
        """Without a length the end of the connection is that of the answer."""
        reader = AnswerReader()
        self.assertIsNone(reader.feed(b"HTTP/1.0 502 Bad Gateway\r\n\r\n<html>"))
        self.assertEqual(reader.ended(), HttpAnswer(502, {}, b"<html>"))
        self.assertFalse(reader.reusable)

    def test_no_body(self) -> None:
        """204 and 304 have none, whatever their headers say."""
        answer, _ = read(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n")
        self.assertEqual(answer and answer.body, b"")

    def test_cut(self) -> None:
        """An answer that is cut anywhere is an error, and never a shorter one."""
        for whole in (CHUNKED, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"):
            for end in range(len(whole)):
                reader = AnswerReader()
                self.assertIsNone(reader.feed(whole[:end]))
                self.assertRaises(BrokenAnswer, reader.ended)

    def test_broken(self) -> None:
        """What is no HTTP says what it is not."""
        for whole in (
            b"SSH-2.0-OpenSSH\r\n\r\n",
            b"HTTP/2 200\r\n\r\n",
            b"HTTP/1.1 101 Switching\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
            b"HTTP/1.1 200 OK\r\nA: " + b"a" * 70_000,
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 70_000,
        ):
            self.assertRaises(BrokenAnswer, AnswerReader().feed, whole)

    def test_too_large(self) -> None:
        """An answer without end is given up."""
        reader = AnswerReader()
        reader.feed(b"HTTP/1.1 200 OK\r\n\r\n")
        piece = bytes(2**24)
        for _ in range(4):
            reader.feed(piece)
        self.assertRaises(BrokenAnswer, reader.feed, b"x")


class TestRequests(SynchronousTestCase):
    def test_bytes(self) -> None:
        """One request, with its length."""
        self.assertEqual(
            request_bytes(Address.of("http://[::1]:8080/x"), "POST", "/a", {"K": "v"}, b"{}"),
            b"POST /a HTTP/1.1\r\nHost: [::1]:8080\r\nK: v\r\nContent-Length: 2\r\n\r\n{}",
        )
        self.assertEqual(
            request_bytes(Address.of("unix:/s"), "GET", "/a", {}, b""),
            b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n",
        )

    def test_header(self) -> None:
        """A header that cannot be sent is named, and its value is not repeated."""
        for value in ("secret\n", "secret\r\nX: y", "secrét"):
            failed = self.assertRaises(
                ValueError, request_bytes, Address.of("http://a"), "GET", "/", {"K": value}, b""
            )
            self.assertEqual(str(failed), "the header K cannot be sent")
