"""What users import, pinned: a name that goes away breaks their code."""

from __future__ import annotations

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

import takotwist
from takotwist import errors, streams
from tests import typing_app


class TestPublicNames(SynchronousTestCase):
    def test_names(self) -> None:
        """These and no others are public at the top."""
        self.assertEqual(
            sorted(takotwist.__all__),
            [
                "BlockingMessageWriter",
                "BoundChannel",
                "Channel",
                "Context",
                "Grant",
                "HeaderCredential",
                "Member",
                "MessageWriter",
                "Newest",
                "Presence",
                "Published",
                "Publisher",
                "Refusal",
                "Reject",
                "State",
                "StateRequest",
                "StreamedMessage",
                "TakoError",
                "VerifyRequest",
                "define_channel",
                "errors",
            ],
        )
        for name in takotwist.__all__:
            self.assertTrue(getattr(takotwist, name).__doc__, name)

    def test_streams(self) -> None:
        """These and no others are public of the streaming primitives."""
        self.assertEqual(
            sorted(streams.__all__),
            [
                "ConnectionClosed",
                "Deflate",
                "HttpLimits",
                "SseEvent",
                "WebSocket",
                "WebSocketConfig",
                "json_event",
                "last_event_id",
                "last_event_id_bytes",
                "make_site",
                "serve_file",
                "sse",
                "static_dir",
                "websocket",
            ],
        )
        for name in streams.__all__:
            self.assertTrue(getattr(streams, name).__doc__, name)

    def test_light(self) -> None:
        """Importing it loads neither Twisted nor a framework, and installs no reactor."""
        heavy = ("twisted", "klein", "autobahn", "treq", "OpenSSL", "pydantic", "aioquic")
        script = f"import sys, takotwist\nprint([one for one in {heavy!r} if one in sys.modules])"
        ran = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        )
        self.assertEqual(ran.stdout.strip(), "[]")

    def test_refusals(self) -> None:
        """Each refusal has its own code, and the code leads back to it."""
        for code, kind in errors.REFUSALS.items():
            self.assertEqual(kind.code, code)
            self.assertIsInstance(errors.refusal_for(code), kind)

    def test_typed_app(self) -> None:
        """The app that the type checker is shown runs as well."""
        self.assertEqual(typing_app.chat.definition.handlers, frozenset({"msg"}))
        self.assertTrue(typing_app.news.definition.verified)
        self.assertEqual(typing_app.chat.definition.lifecycle.replay_window_ms, 3_600_000)
