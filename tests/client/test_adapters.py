"""The clients for asyncio and for Twisted show the same functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist.client import asyncio as on_asyncio
from takotwist.client import twisted as on_twisted

#: What a reactor's client is given beside, and has words for.
BESIDE = {"reactor", "endpoint", "random"}


def parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """The parameters that both have."""
    every = inspect.signature(function).parameters
    return {name: one for name, one in every.items() if name not in BESIDE}


def words(function: Callable[..., Any]) -> list[str]:
    """Its docstring, without what is beside."""
    doc = inspect.getdoc(function) or ""
    return [line for line in doc.splitlines() if not any(f":param {b}:" in line for b in BESIDE)]


class AdapterTests(SynchronousTestCase):
    """`takotwist.client.asyncio` beside `takotwist.client.twisted`."""

    def test_functions(self) -> None:
        """Names, order, defaults, types and words are the same."""
        for name in ("subscribe", "connect", "history"):
            one, other = getattr(on_asyncio, name), getattr(on_twisted, name)
            self.assertEqual(list(parameters(one).items()), list(parameters(other).items()), name)
            self.assertEqual(words(one), words(other), name)

    def test_names(self) -> None:
        """Both give out the same; so do their subscriptions and connections."""
        self.assertEqual(on_asyncio.__all__, on_twisted.__all__)
        for name in ("Subscription", "Mux"):
            one, other = (
                {each for each in dir(getattr(module, name)) if not each.startswith("_")}
                for module in (on_asyncio, on_twisted)
            )
            # For the client for scripts, which does not loop itself.
            self.assertEqual(one - other, {"next_event"} if name == "Subscription" else set())
            self.assertEqual(other - one, set())
