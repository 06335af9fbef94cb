"""Answers of the original SDKs that carry no token."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.sdk_refusals import is_sdk_refusal

TEXT, JSON = "text/plain; charset=utf-8", "application/json"


class SdkRefusalTests(SynchronousTestCase):
    """To the letter, or not at all."""

    def test_theirs(self) -> None:
        """A refusal, an unknown channel, and a `verify` that raised; the type in any case."""
        for status, kind, body in (
            (403, TEXT, b"forbidden\n"),
            (403, "Text/Plain; charset=UTF-8", b"forbidden\n"),
            (404, TEXT, b"channel not defined\n"),
            (500, JSON, b'{"error":"Internal Server Error"}'),
        ):
            self.assertTrue(is_sdk_refusal(status, kind, body), (status, kind, body))

    def test_of_others(self) -> None:
        """What a proxy or router says, a wrong token, or anything that would let in, is none."""
        for status, kind, body in (
            (403, TEXT, b"forbidden"),
            (403, TEXT, b"Forbidden\n"),
            (403, "text/html", b"forbidden\n"),
            (403, JSON, b'{"error":"Forbidden"}'),
            (404, TEXT, b"404 page not found\n"),
            (500, JSON, b'{"error": "Internal Server Error"}'),
            (500, TEXT, b"Internal Server Error"),
            (200, TEXT, b"forbidden\n"),
            (200, JSON, b"{}"),
        ):
            self.assertFalse(is_sdk_refusal(status, kind, body), (status, kind, body))
