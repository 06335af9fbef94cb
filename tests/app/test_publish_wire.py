"""A publish on the wire: what goes out, and which answers count."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.app.publish_wire import (
    Foreign,
    body_of,
    draft_of,
    drafts_of,
    read_answer,
    retry_after,
    target_of,
)
from takotwist.app.published import Published
from takotwist.codecs.http_answer import HttpAnswer
from takotwist.errors import (
    BodyInvalid,
    ChannelUnknown,
    Overloaded,
    Refusal,
    Retry,
)

STORED = {"id": "7", "channel": "chat", "type": "msg", "data": {"a": 1}}


def answer(status: int, body: Any, **headers: str) -> HttpAnswer:
    """An answer with this body, as JSON where it is no bytes."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HttpAnswer(
        status, {name.replace("_", "-"): text for name, text in headers.items()}, data
    )


class OutTests(SynchronousTestCase):
    """What a publisher sends."""

    def test_target(self) -> None:
        """Names are quoted whole, params sorted; no question mark where there are none."""
        self.assertEqual(target_of("/channels/", "chat", {}), "/channels/chat")
        self.assertEqual(
            target_of("/channels/", "a/b ü", {"z": True, "a": ["x&y", 2]}),
            "/channels/a%2Fb%20%C3%BC?a=x%26y&a=2&z=true",
        )
        self.assertRaises(ChannelUnknown, target_of, "/channels/", "", {})

    def test_body(self) -> None:
        """Always an array, of one message too."""
        drafts = drafts_of([("a", {"x": 1}), ["b", None]])
        self.assertEqual(
            json.loads(body_of(drafts)),
            [{"type": "a", "data": {"x": 1}}, {"type": "b", "data": None}],
        )
        self.assertEqual(json.loads(body_of([])), [])

    def test_no_message(self) -> None:
        """What cannot be sent is refused with its place."""
        kind: Any
        for kind, data, words in (
            (5, 1, "type 5 is no text"),
            ("\ud800", 1, "is no text"),
            ("", 1, "type"),
            ("a", {"x": [math.nan]}, "data of message type 'a'.x[0]: NaN and Infinity"),
            ("a", {"x": object()}, "data of message type 'a'.x: "),
        ):
            error = self.assertRaises(BodyInvalid, draft_of, kind, data)
            self.assertIn(words, str(error))

    def test_no_pair(self) -> None:
        """A message that is no pair is named by its number."""
        wrong: Any
        for wrong in ("ab", ("a",), ("a", 1, 2), {"type": "a"}):
            error = self.assertRaises(BodyInvalid, drafts_of, [("a", 1), wrong])
            self.assertIn("messages[1] must be a pair", str(error))


class AnswerTests(SynchronousTestCase):
    """What is an answer of ours, and what is not."""

    def test_stored(self) -> None:
        """The messages, as they were stored."""
        self.assertEqual(
            read_answer(answer(200, [STORED])), [Published("7", "chat", "msg", {"a": 1})]
        )

    def test_refused(self) -> None:
        """A refusal is the one of its code, with the sentence and the time that was said."""
        said = answer(503, {"code": "overloaded", "error": "Busy."}, retry_after="3")
        error = self.assertRaises(Overloaded, read_answer, said)
        self.assertEqual((error.sentence, error.retry_after), ("Busy.", 3.0))

    def test_unknown_code(self) -> None:
        """A code of a newer server is a refusal; its status says whether it passes."""
        for status, retry in (
            (400, Retry.NEVER),
            (429, Retry.WITH_BACKOFF),
            (500, Retry.WITH_BACKOFF),
        ):
            said = answer(status, {"code": "newer", "error": "x"})
            error = self.assertRaises(Refusal, read_answer, said)
            self.assertEqual((error.code, error.retry), ("newer", retry), status)

    def test_foreign(self) -> None:
        """Neither a yes nor a no: what has another form, whatever its status."""
        for said in (
            answer(200, b"<html>welcome</html>", content_type="text/html; charset=utf-8"),
            answer(200, {"ok": True}),
            answer(200, [{"id": 7}]),
            answer(502, b"Bad Gateway"),
            answer(404, {"error": "no code"}),
            answer(200, b"\xff"),
            answer(200, b"[" * 100_000),
        ):
            self.assertRaises(Foreign, read_answer, said)

    def test_sentence(self) -> None:
        """It names status, kind and where a redirect leads, and no more of an address than that."""
        said = answer(
            302,
            b"",
            content_type="text/html; charset=utf-8",
            location="https://user:s3cret@login.example:8443/path?token=s3cret",
        )
        error = self.assertRaises(Foreign, read_answer, said)
        self.assertEqual(
            str(error),
            "HTTP status 302 (text/html), which is no answer of a takotwist server;"
            " it leads to https://login.example:8443",
        )
        for location in ("javascript:x", "https://[", "/relative"):
            error = self.assertRaises(Foreign, read_answer, answer(302, b"", location=location))
            self.assertNotIn("leads", str(error))

    def test_retry_after(self) -> None:
        """Whole seconds up to a minute; anything else says nothing."""
        for text, seconds in (("5", 5.0), ("86400", 60.0), ("-1", 0.0), ("1.5", 0.0), ("²", 0.0)):
            self.assertEqual(retry_after(answer(503, b"", retry_after=text)), seconds)
        self.assertEqual(retry_after(answer(503, b"")), 0.0)

    @given(st.integers(100, 599), st.binary(max_size=50), st.text(max_size=20))
    def test_any_answer(self, status: int, body: bytes, header: str) -> None:
        """Whatever comes, it is messages, a refusal or foreign."""
        said = HttpAnswer(status, {"location": header, "retry-after": header}, body)
        with contextlib.suppress(Refusal, Foreign):
            self.assertIsInstance(read_answer(said), list)
