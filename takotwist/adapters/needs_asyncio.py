"""Finds, at start, the app's coroutines that are written for asyncio.

A hint and not a proof: it looks at what the function and its module import.
Rule: a false alarm costs a line in the log, silence costs an operator a night,
so it errs towards speaking; what really fails is found when it is called.
"""

from __future__ import annotations

import dis
import inspect
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

import attrs

from takotwist.adapters.callable_runner import waits
from takotwist.app.channel import Channel

#: Packages whose coroutines run only where an asyncio loop runs.
ASYNCIO_PACKAGES = frozenset(
    {
        "aioboto3", "aiobotocore", "aiofiles", "aiohttp", "aiokafka", "aiomysql", "aiopg",
        "aioredis", "aiosmtplib", "aiosqlite", "anyio", "asgiref", "asyncio", "asyncpg",
        "asyncmy", "beanie", "databases", "fastapi", "httpx", "motor", "starlette", "tortoise",
        "uvloop",
    }
)  # fmt: skip


@attrs.frozen(slots=True)
class NeedsLoop:
    """One function that seems to need asyncio.

    :ivar what: which function of which channel.
    :ivar package: what it was told by.
    """

    what: str
    package: str


def needs_asyncio(channels: Iterable[Channel[Any]]) -> list[NeedsLoop]:
    """The coroutines among the channels' functions that are written for asyncio."""
    found = []
    for channel in channels:
        functions = [("verify", channel.verifier)] if channel.verifier else []
        functions += [(f"handler of {kind!r}", one) for kind, one in channel.handlers.items()]
        for what, function in functions:
            package = _told_by(function) if waits(function) else None
            if package is not None:
                found.append(NeedsLoop(f"{what} of channel {channel.name!r}", package))
    return found


def _told_by(function: Callable[..., Any]) -> str | None:
    plain = inspect.unwrap(function)
    plain = getattr(plain, "func", plain)
    code = getattr(plain, "__code__", None)
    if code is None:
        return None
    reached = getattr(plain, "__globals__", {})
    for step in dis.get_instructions(code):
        name = str(step.argval)
        if step.opname == "IMPORT_NAME":
            package = name.partition(".")[0]
        elif name in reached:
            package = _package_of(reached[name])
        else:
            continue
        if package in ASYNCIO_PACKAGES:
            return package
    for value in reached.values():
        if isinstance(value, ModuleType) and _package_of(value) in ASYNCIO_PACKAGES:
            return _package_of(value)
    return None


def _package_of(value: Any) -> str:
    name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", "")
    return str(name or "").partition(".")[0]
