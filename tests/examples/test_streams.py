"""The streams of the examples: tokens that resume, and all programs on one port."""

from __future__ import annotations

import json
import re
import runpy
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import getChildForRequest
from twisted.web.test.requesthelper import DummyRequest

EXAMPLES = Path(__file__).parents[2] / "examples" / "streams"


class TokenTests(SynchronousTestCase):
    """``tokens.py``."""

    def setUp(self) -> None:
        self.program = runpy.run_path(str(EXAMPLES / "tokens.py"))
        self.answer = self.program["Answer"]()

    def read(self, seen: int) -> list[tuple[str | None, Any]]:
        """What a reader gets, in a list that grows."""
        got: list[tuple[str | None, Any]] = []

        async def reading() -> None:
            async for event in self.answer.events(seen):
                got.append((event.id, json.loads(event.data) if event.data else event.event))

        Deferred.fromCoroutine(reading())
        return got

    def test_resume(self) -> None:
        """Whoever comes, and when, gets each token once, and the end."""
        first = self.read(0)
        self.answer.say("a ")
        self.answer.say("b\n")
        self.assertEqual(first, [("1", "a "), ("2", "b\n")])
        second = self.read(1)
        self.answer.say("c")
        self.answer.say(None)
        self.assertEqual(second, [("2", "b\n"), ("3", "c"), ("3", "done")])
        self.assertEqual(first, [("1", "a "), *second])
        self.assertEqual(self.read(3), [("3", "done")])

    def test_model_goes_on_alone(self) -> None:
        """The model says everything though nobody reads."""
        clock = Clock()
        work = Deferred.fromCoroutine(self.program["model"](clock, "Why?", self.answer))
        clock.pump([0.1] * 30)
        self.successResultOf(work)
        self.assertTrue(self.answer.done)
        self.assertIn("Why? ", "".join(self.answer.tokens))


class MainTests(SynchronousTestCase):
    """``main.py``."""

    def test_routes(self) -> None:
        """Each program is below its name."""
        self.patch(sys, "path", [str(EXAMPLES), *sys.path])
        program = runpy.run_path(str(EXAMPLES / "main.py"))
        sound = Path(self.mktemp())
        program["write_sound"](sound)
        self.assertGreater(sound.stat().st_size, 900_000)
        root = program["make_root"](Clock(), sound)
        for name in (b"events", b"tokens", b"video", b"app"):
            request: Any = DummyRequest([name, b""])
            self.assertNotIn("NoResource", repr(getChildForRequest(root, request)))
        self.assertEqual(sorted(root.children), [b"app", b"events", b"tokens", b"video"])
        # The first page leads to each of them, and to what `main` adds.
        links = re.findall(r'href="(\w+)', (EXAMPLES / "index.html").read_text())
        self.assertEqual(sorted(links), ["app", "events", "tokens", "video", "webtransport"])
