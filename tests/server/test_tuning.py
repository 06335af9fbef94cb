"""That connections have no dictionary each, whatever the first of them were."""

from __future__ import annotations

import gc
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist.server.tuning import show_attribute_names

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
