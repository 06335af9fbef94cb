"""The calls of a writer over HTTP, and what the server says of them."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from takotwist.app.publish_wire import Foreign
from takotwist.app.stream_call import AppendCall, OpenCall, RenewCall, StreamReply
from takotwist.app.stream_wire import check_id, read_reply, request_of, stream_of
from takotwist.codecs.http_answer import HttpAnswer
from takotwist.errors import BodyInvalid, StreamEnded, StreamGap, StreamTaken


def refused(status: int, code: str, **headers: str) -> HttpAnswer:
    """A server's no."""
    fields = {name.replace("_", "-"): text for name, text in headers.items()}
    return HttpAnswer(status, fields, json.dumps({"error": "No.", "code": code}).encode())


class WireTests(SynchronousTestCase):
    """Wire."""

    def test_address(self) -> None:
        """Below the topic's, with its params."""
        self.assertEqual(
            stream_of("/channels/chat?roomId=a", "b~1"), "/channels/chat/streams/b~1?roomId=a"
        )
        self.assertEqual(stream_of("/channels/chat", "b"), "/channels/chat/streams/b")
        for name in ("", "a/b", ".", "..", "é", "x" * 65, None):
            self.assertRaises(BodyInvalid, check_id, name)

    def test_requests(self) -> None:
        """Each has what makes it count once."""
        method, headers, body = request_of(OpenCall("a", "answer", "k", False, b'{"q":1}', True))
        self.assertEqual((method, headers["Idempotency-Key"]), ("PUT", "k"))
        said = {"type": "answer", "of": "values", "meta": {"q": 1}, "resume": True}
        self.assertEqual(json.loads(body), said)
        method, headers, body = request_of(AppendCall("a", 2, 7, b'["x"]'))
        self.assertEqual((method, body), ("POST", b'["x"]'))
        self.assertEqual((headers["Producer-Epoch"], headers["Producer-Seq"]), ("2", "7"))
        self.assertNotIn("Stream-Closed", headers)
        _, headers, _ = request_of(AppendCall("a", 2, 8, b"", "failed", "No more €.\r\n"))
        self.assertEqual((headers["Stream-Closed"], headers["Stream-End"]), ("true", "failed"))
        self.assertEqual(headers["Stream-Error"], "No more %E2%82%AC.%0D%0A")
        _, headers, body = request_of(RenewCall("a", 2))
        self.assertEqual((headers["Stream-Renew"], body), ("true", b""))
        self.assertNotIn("Producer-Seq", headers)

    def test_replies(self) -> None:
        """A yes, and each no by its name."""
        body = b'{"id":"a","opened":"5","epoch":1,"size":3,"offset":"0007","leaseMs":2000}'
        self.assertEqual(read_reply(HttpAnswer(201, {}, body)), StreamReply("5", 1, 3, "0007", 2.0))
        self.assertEqual(read_reply(HttpAnswer(200, {}, b"{}")), StreamReply())
        self.assertRaises(StreamTaken, read_reply, refused(403, "stream-taken"))
        self.assertRaises(StreamGap, read_reply, refused(409, "stream-gap"))
        ended = refused(409, "stream-ended", stream_end="failed", stream_end_reason="too-long")
        error = self.assertRaises(StreamEnded, read_reply, ended)
        self.assertEqual((error.how, error.reason), ("failed", "too-long"))

    def test_somebody_else(self) -> None:
        """A page of a proxy is neither."""
        for answer in (
            HttpAnswer(200, {"content-type": "text/html"}, b"<html>"),
            HttpAnswer(200, {}, b"[]"),
            HttpAnswer(404, {}, b"Not found"),
            HttpAnswer(204, {}, b""),
        ):
            self.assertRaises(Foreign, read_reply, answer)
