"""A server that uses no extra loads nothing of one, however many are installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from twisted.trial.unittest import SynchronousTestCase

from benchmarks.start import start
from tests.docs.page import ROOT
from tests.docs.running import Running, eventually

CHANNEL = """
from takotwist import define_channel

news = define_channel("news")
"""


def _needed(name: str, extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    for line in distribution(name).requires or ():
        one = Requirement(line)
        marked = one.marker
        if marked is None or any(marked.evaluate({"extra": extra}) for extra in extras | {""}):
            yield canonicalize_name(one.name), frozenset(one.extras)


def needed_by(extras: frozenset[str]) -> set[str]:
    """Every distribution that takotwist brings with these extras, to the last one."""
    found: set[tuple[str, frozenset[str]]] = set()
    left = [("takotwist", extras)]
    while left:
        name, wanted = left.pop()
        if (name, wanted) in found:
            continue
        found.add((name, wanted))
        try:
            left += _needed(name, wanted)
        except PackageNotFoundError:
            # Of another platform or Python, or of an extra of the tests that is not installed.
            continue
    return {name for name, _ in found}


def optional_modules() -> set[str]:
    """The top modules of what only extras bring."""
    extras = frozenset(distribution("takotwist").metadata.get_all("Provides-Extra") or ())
    optional = needed_by(extras) - needed_by(frozenset())
    owners = {
        module: {canonicalize_name(one) for one in names}
        for module, names in packages_distributions().items()
    }
    return {module for module, names in owners.items() if names <= optional}


class PlainServerTests(SynchronousTestCase):
    timeout = 120

    def test_measured(self) -> None:
        """What `benchmarks.start` measures is a real start; the figures themselves are for a quiet
        machine, and on the page of performance."""
        measured = start(ROOT)
        self.assertGreater(measured.seconds, 0)
        self.assertGreater(measured.cpu, 0)
        self.assertGreater(measured.megabytes, 20)

    def test_imports(self) -> None:
        """Started, asked, published to and listened to, it has loaded no module of an extra."""
        optional = optional_modules()
        self.assertLessEqual({"aioquic", "aiohttp", "sphinx", "hypothesis"}, optional)
        self.assertEqual(optional & {"twisted", "takotwist", "klein", "autobahn"}, set())
        running = Running()
        self.addCleanup(running.close)
        (running.folder / "channels").mkdir()
        (running.folder / "channels" / "news.py").write_text(CHANNEL)
        program = "from takotwist.cli import main; main()"
        running.serve(f"{sys.executable} -X importtime -c '{program}' serve")
        running.run("tako publish news said '\"hi\"'")
        running.start("curl -sN 'http://localhost:8080/channels/news?lastEventId=0'", "heard")
        eventually(lambda: '"hi"' in running.said("heard"), "the message")
        lines = running.said("log").splitlines()
        loaded = {
            line.rpartition("|")[2].strip().partition(".")[0]
            for line in lines
            if line.startswith("import time:")
        }
        self.assertLessEqual({"twisted", "takotwist", "klein"}, loaded)
        self.assertEqual(loaded & optional, set())
