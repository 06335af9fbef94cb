"""Functions and listeners of the asyncio world, on the asyncio reactor."""

from __future__ import annotations

import json
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.docs.page import ROOT


class AsyncioReactorTests(SynchronousTestCase):
    """A program under the real asyncio reactor."""

    def test_functions_and_listeners(self) -> None:
        """They await outcomes, asyncio and Deferreds in turn; what is pending fails at a close."""
        done = subprocess.run(
            [sys.executable, "-m", "tests.live.asyncio_program"],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            # trial runs tests in a folder of its own.
            cwd=ROOT,
        )
        self.assertEqual(done.stderr, "")
        self.assertEqual(
            json.loads(done.stdout),
            {"published": 1, "answer": "QUESTION deferred", "closed": 1, "pending": "closed"},
        )
