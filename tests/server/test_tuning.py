"""That connections have no dictionary each, whatever the first of them were.

How many connections fit is known at the start.
"""

from __future__ import annotations

import gc
import resource
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist.server.tuning import OpenFiles, raise_open_files, show_attribute_names

EARLY = tuple(f"early{number}" for number in range(16))
LATE = tuple(f"late{number}" for number in range(6))


def storm(kind: type) -> list[Any]:
    """Instances that all have begun before the first gets its later attributes."""
    instances: list[Any] = [kind() for _ in range(200)]
    for names in (EARLY, LATE):
        for instance in instances:
            for name in names:
                setattr(instance, name, None)
    return instances


def dictionaries(instances: list[Any]) -> int:
    """How many have one."""
    return sum(any(type(part) is dict for part in gc.get_referents(one)) for one in instances)


class AttributeNamesTests(SynchronousTestCase):
    """A thousand clients at once, as after a restart."""

    def test_storm(self) -> None:
        """Of a class that was shown, none has a dictionary; otherwise all have."""

        class Unshown:
            pass

        class Shown:
            pass

        show_attribute_names({Shown: (*EARLY, *LATE)})
        self.assertEqual(dictionaries(storm(Shown)), 0)
        self.assertEqual(dictionaries(storm(Unshown)), 200)


class OpenFilesTests(SynchronousTestCase):
    """The limit of the process, and what the operator is told of it."""

    def _limits(self, soft: int, hard: int, refuse: bool = False) -> list[tuple[int, int]]:
        """Have the system say these limits; what is set is noted."""
        was_set: list[tuple[int, int]] = []

        def setrlimit(which: int, limits: tuple[int, int]) -> None:
            if refuse:
                raise ValueError("not allowed to raise maximum limit")
            was_set.append(limits)

        self.patch(resource, "getrlimit", lambda which: (soft, hard))
        self.patch(resource, "setrlimit", setrlimit)
        return was_set

    def test_raised_to_the_hard_limit(self) -> None:
        """The usual soft limit of 1024 becomes the hard one."""
        was_set = self._limits(1024, 524_288)
        self.assertEqual(raise_open_files().limit, 524_288)
        self.assertEqual(was_set, [(524_288, 524_288)])

    def test_nothing_to_raise(self) -> None:
        """A soft limit at the hard one is left alone."""
        was_set = self._limits(4096, 4096)
        self.assertEqual(raise_open_files().limit, 4096)
        self.assertEqual(was_set, [])

    def test_unlimited(self) -> None:
        """ "Unlimited" is what the kernel has as its own bound."""
        nr_open = Path(self.mktemp())
        nr_open.write_text("2000\n")
        was_set = self._limits(1024, resource.RLIM_INFINITY)
        self.assertEqual(raise_open_files(nr_open).limit, 2000)
        self.assertEqual(was_set, [(2000, resource.RLIM_INFINITY)])
        self._limits(1024, resource.RLIM_INFINITY)
        self.assertEqual(raise_open_files(Path(self.mktemp())).limit, 1_048_576)

    def test_forbidden(self) -> None:
        """Where it may not be raised the server starts with what there is."""
        self._limits(1024, 4096, refuse=True)
        self.assertEqual(raise_open_files().limit, 1024)

    def test_shortage(self) -> None:
        """Too low a limit is told with the line for the unit; a sufficient one is not told."""
        self.assertIsNone(OpenFiles(20_000).shortage(10_000))
        self.assertIn("LimitNOFILE=10256", OpenFiles(4096).shortage(10_000) or "")
        self.assertEqual(OpenFiles(4096).connections, 3840)
        self.assertEqual(OpenFiles(100).connections, 50)
