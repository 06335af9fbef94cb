"""The parts of a server, which read their settings from one object."""

from __future__ import annotations

import gc
from collections import deque
from types import FunctionType, ModuleType
from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from takotwist import define_channel
from takotwist.live.functions.function import function
from takotwist.server.config import Config, Limits, Publish
from takotwist.server.config.limits import Live
from takotwist.server.config.setting import keys_of
from takotwist.server.reloadable import Reloadable
from takotwist.testing.world import World

SECTIONS = {"limits": Limits, "publish": Publish, "live": Live}

#: Settings, wherever they are referred to, and what leads out of the server.
PASSED_OVER = (Reloadable, Config, *SECTIONS.values(), ModuleType, type)


def reloadable_numbers() -> dict[str, dict[str, int]]:
    """A value for each number that a reload changes, by section and name, that is nowhere else."""
    values = iter(range(7_654_321, 8_000_000, 1_013))
    return {
        name: {
            key.name: next(values)
            for key in keys_of(section, name)
            if key.setting.live and isinstance(key.default, int | float)
        }
        for name, section in SECTIONS.items()
    }


def numbers_held(root: object) -> set[object]:
    """All numbers that `root` leads to."""
    seen, found, queue = {id(root)}, set[object](), deque([root])
    while queue:
        for one in gc.get_referents(queue.popleft()):
            if isinstance(one, int | float):
                found.add(one)
            elif id(one) not in seen and not isinstance(one, PASSED_OVER):
                seen.add(id(one))
                # A function refers to its module, and so to everything.
                queue.extend(
                    [one.__closure__, one.__defaults__] if isinstance(one, FunctionType) else [one]
                )
    return found


class TestParts(SynchronousTestCase):
    """A server with a channel and a function, and a reader of each kind."""

    def world(self, numbers: dict[str, dict[str, int]]) -> World:
        """It, configured so."""

        @function(name="greet")
        def greet() -> str:
            return "hello"

        config = Config(
            limits=Limits(**numbers["limits"]),
            publish=Publish(keys=("a-key-that-nobody-guesses",), **numbers["publish"]),
            live=Live(**numbers["live"]),
        )
        return World(define_channel("news"), config=config, functions=[greet])

    def test_no_copies(self) -> None:
        """No part holds a number that a reload may change: all are read from the settings."""
        numbers = reloadable_numbers()
        world = self.world(numbers)
        key = {"Authorization": "Bearer a-key-that-nobody-guesses"}
        world.subscribe("/channels/news")
        world.connect("/_tako/connect", subprotocol="tako.v1")
        self.assertEqual(
            world.request("POST", "/channels/news", key, {"type": "a", "data": 1}).status, 200
        )
        held = numbers_held(world.parts)
        names = {value: name for section in numbers.values() for name, value in section.items()}
        self.assertGreater(len(names), 20)
        self.assertEqual({names[value] for value in names.keys() & held}, set())

    def test_found(self) -> None:
        """A copy would be found, wherever it is kept."""
        world = self.world(reloadable_numbers())
        part: Any = world.parts.public.websocket
        part.max_live_frame_bytes = 7_654_320
        self.assertIn(7_654_320, numbers_held(world.parts))

    def test_whole(self) -> None:
        """Nothing is put in the place of a part."""
        parts = self.world(reloadable_numbers()).parts
        for field in attrs.fields(type(parts)):
            with self.assertRaises(attrs.exceptions.FrozenInstanceError):
                setattr(parts, field.name, None)
