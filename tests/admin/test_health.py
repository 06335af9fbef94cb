"""Whether the server lives and is ready."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.test.requesthelper import DummyRequest

from takotwist.admin.health import Health, HealthPage


class TestHealth(SynchronousTestCase):
    """200 when ready, 503 when not."""

    def ask(self, ready: bool, store: bool = True, live: bool = False) -> tuple[int, object]:
        """Status and body."""
        request = DummyRequest([b""])
        if live:
            request.args[b"live"] = [b""]
        body = HealthPage(lambda: Health(ready, store)).render(request)
        return request.responseCode or 200, json.loads(body)

    def test_ready(self) -> None:
        """A ready server says so."""
        self.assertEqual(self.ask(True), (200, {"live": True, "ready": True, "store": "available"}))

    def test_not_ready(self) -> None:
        """Starting or stopping is 503, and alive all the same."""
        self.assertEqual(self.ask(False)[0], 503)
        self.assertEqual(self.ask(False, live=True)[0], 200)

    def test_store(self) -> None:
        """A log that cannot be written takes no connection away, so the server stays ready."""
        self.assertEqual(
            self.ask(True, store=False),
            (200, {"live": True, "ready": True, "store": "unavailable"}),
        )

    def test_ids_ahead(self) -> None:
        """How far ids are ahead of the clock is there when they are."""
        body = HealthPage(lambda: Health(True, True, 7200)).render(DummyRequest([b""]))
        self.assertEqual(json.loads(body)["ids_ahead_seconds"], 7200)
