"""The limits of an HTTP server: none of them can be left out."""

from __future__ import annotations

import attrs
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.http.limits import Body, HttpLimits
from tests.streams.exchange import Http1Exchange


class HttpLimitsTests(SynchronousTestCase):
    """`HttpLimits`."""

    def test_no_limit_is_refused(self) -> None:
        """Each is a number above 0; nothing is without bound."""
        for field in attrs.fields(HttpLimits):
            for value in (0, -1):
                with self.assertRaises(ValueError):
                    HttpLimits(**{field.name: value})
            self.assertGreater(getattr(HttpLimits(), field.name), 0)

    def test_fixed(self) -> None:
        """A site's limits do not change under it."""
        limits = HttpLimits()
        with self.assertRaises(attrs.exceptions.FrozenInstanceError):
            limits.max_body = 1  # type: ignore[misc]

    def test_rule(self) -> None:
        """A rule gives each path its own bound; what it streams is rendered at its head."""
        rendered: list[bytes] = []

        def answer(request: object) -> bytes:
            rendered.append(request.path)  # type: ignore[attr-defined]
            return b"ok"

        def rule(method: bytes, path: bytes) -> int | Body:
            return Body.STREAMED if path == b"/streamed" else 5 if path == b"/five" else 10

        for path, size, status in (
            ("/five", 5, 200),
            ("/five", 6, 413),
            ("/other", 10, 200),
            ("/other", 11, 413),
        ):
            exchange = Http1Exchange(answer, HttpLimits(), body_rule=rule)
            exchange.ask(path, f"Content-Length: {size}", method="POST", body=b"x" * size)
            self.assertEqual(exchange.answer()[0], status, (path, size))
        exchange = Http1Exchange(answer, HttpLimits(), body_rule=rule)
        exchange.ask("/streamed", "Content-Length: 100", method="POST")
        self.assertEqual(rendered[-1], b"/streamed")
