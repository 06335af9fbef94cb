"""The surroundings of the program as types: Twisted's reactor, and coroutines of any loop."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeAlias, TypeVar

from twisted.internet.interfaces import (
    IReactorCore,
    IReactorFDSet,
    IReactorPluggableNameResolver,
    IReactorSocket,
    IReactorTCP,
    IReactorThreads,
    IReactorTime,
    IReactorUDP,
    IReactorUNIX,
)

A = TypeVar("A")

#: A coroutine, whatever loop runs it: what it waits for is between the two.
Coro: TypeAlias = Coroutine[Any, Any, A]


class IReactor(
    IReactorCore,
    IReactorTime,
    IReactorThreads,
    IReactorTCP,
    IReactorUNIX,
    IReactorUDP,
    IReactorFDSet,
    IReactorSocket,
    IReactorPluggableNameResolver,
):
    """The parts of a reactor that a server uses; what needs only its clock takes `IReactorTime`."""
