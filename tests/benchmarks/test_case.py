"""Measurements of servers in turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from benchmarks import case
from benchmarks.case import Case, run
from benchmarks.peers.peer import Peer


class _Still(Peer):
    """A server that is none."""

    def start(self) -> None: ...

    def stop(self, number: object = None) -> None: ...


class Runs(SynchronousTestCase):
    """What `run` keeps of a measurement."""

    def _measured(self, measure: Callable[[Peer], Mapping[str, Any]]) -> Any:
        makers: Mapping[str, Callable[[Path, Path | None], Peer]] = {"still": _Still}
        self.patch(case, "MAKERS", makers)
        return run(Case("a case", ("still",), measure, "growth", "", lower=True), 2)

    def test_memory(self) -> None:
        """The course of memory is kept, round by round, where it was watched."""
        watched = self._measured(lambda _: {"growth": 1.0, "memory": [(0.5, 7), (1.0, 8)]})
        self.assertEqual(watched.memory, {"still": [[[0.5, 7], [1.0, 8]]] * 2})
        self.assertEqual(self._measured(lambda _: {"growth": 1.0}).memory, {})
