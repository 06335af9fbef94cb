"""Whole sessions of the shared vectors, through the machines."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.client.vectors import VECTORS, Session


class SessionTests(SynchronousTestCase):
    """A client does in each session what every client does."""

    def _sessions(self, transport: str) -> None:
        vectors = [one for one in VECTORS["sessions"] if one["transport"] == transport]
        self.assertGreater(len(vectors), 5)
        for vector in vectors:
            Session(vector).run()

    def test_sse(self) -> None:
        """Over SSE nothing is lost, doubled or skipped in silence."""
        self._sessions("sse")

    def test_websocket(self) -> None:
        """Nor over a WebSocket, plain or explicit, where publishes are sent once."""
        self._sessions("websocket")

    def test_mux(self) -> None:
        """Nor on any topic of a multiplexed connection."""
        self._sessions("mux")
