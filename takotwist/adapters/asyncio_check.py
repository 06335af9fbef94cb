"""Search, at start, for the app's coroutines that are written for asyncio.

A hint and not a proof: it follows what the function names through the app's own
modules, and stops at libraries.  Rule: a warning names what a coroutine uses, and
not what its file happens to import; what really fails is found when it is called.
"""

from __future__ import annotations

import dis
import functools
import inspect
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import CodeType, ModuleType
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

#: Folders of libraries.
_INSTALLED = frozenset(
    Path(sysconfig.get_path(kind)) for kind in ("stdlib", "platstdlib", "purelib", "platlib")
)

#: Packages that are no app's own, wherever they are installed.
_NOT_OWN = frozenset({"takotwist", "twisted", *sys.stdlib_module_names})


@attrs.frozen(slots=True)
class NeedsLoop:
    """One function that seems to need asyncio.

    :ivar what: the function and its channel, in words.
    :ivar package: the package that tells it.
    """

    what: str
    package: str


def needs_asyncio(channels: Iterable[Channel[object]]) -> list[NeedsLoop]:
    """The coroutines among the channels' functions that are written for asyncio."""
    found = []
    for channel in channels:
        functions = [("verify", channel.verifier)] if channel.verifier else []
        functions += [(f"handler of {kind!r}", one) for kind, one in channel.handlers.items()]
        functions += [(f"on_{kind}", one) for kind, one in channel.hooks.items()]
        for what, function in functions:
            package = _told_by(function) if waits(function) else None
            if package is not None:
                found.append(NeedsLoop(f"{what} of channel {channel.name!r}", package))
    return found


def _told_by(function: Callable[..., object]) -> str | None:
    """The first of those packages that `function` reaches, itself or through the app's own code."""
    waiting, seen = _functions_of(function), set[int]()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        for package, value in _reached(one):
            if package in ASYNCIO_PACKAGES:
                return package
            if _is_own(value):
                waiting += _functions_of(value)
    return None


def _reached(function: Any) -> Iterator[tuple[str, object]]:
    """Things that the code of a function names, each with the package that it is from."""
    known = {**function.__globals__, **_enclosed(function)}
    codes = [function.__code__]
    for code in codes:
        codes += [const for const in code.co_consts if isinstance(const, CodeType)]
        last = None
        for step in dis.get_instructions(code):
            name = str(step.argval)
            if step.opname == "IMPORT_NAME":
                last = None
                yield name.partition(".")[0], None
            elif step.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF") and name in known:
                last = known[name]
                yield _package_of(last), last
            elif step.opname in ("LOAD_ATTR", "LOAD_METHOD") and isinstance(last, ModuleType):
                # Of a module only what is used: one of ours that has a second, asynchronous
                # half is no reason.
                last = getattr(last, name, None)
                yield _package_of(last), last
            else:
                last = None


def _enclosed(function: Any) -> dict[str, object]:
    """The variables of the functions around this one."""
    names = function.__code__.co_freevars
    found = {}
    for name, cell in zip(names, function.__closure__ or (), strict=False):
        with suppress(ValueError):  # not set yet
            found[name] = cell.cell_contents
    return found


def _functions_of(value: object) -> list[object]:
    """Functions that may run where `value` is used: itself, or every method of an object."""
    plain = _plain(value)
    if inspect.isfunction(plain):
        return [plain]
    if isinstance(value, ModuleType):
        return []
    kind = value if isinstance(value, type) else type(value)
    return [one for one in map(_plain, vars(kind).values()) if inspect.isfunction(one)]


def _plain(function: Any) -> object:
    """A function without what is wrapped around it."""
    function = inspect.unwrap(function)
    while isinstance(function, functools.partial):
        function = inspect.unwrap(function.func)
    function = getattr(function, "__func__", function)
    if not inspect.isroutine(function) and not isinstance(function, type):
        called = inspect.getattr_static(type(function), "__call__", None)
        return called if inspect.isfunction(called) else function
    return function


def _is_own(value: object) -> bool:
    """`True` for the app's own code, and no library's: only that is followed."""
    kind = value if hasattr(value, "__module__") or isinstance(value, ModuleType) else type(value)
    name = kind.__name__ if isinstance(kind, ModuleType) else kind.__module__ or ""
    if name.partition(".")[0] in _NOT_OWN:
        return False
    file = getattr(sys.modules.get(name), "__file__", None)
    return file is None or not any(Path(file).is_relative_to(one) for one in _INSTALLED)


def _package_of(value: object) -> str:
    name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", "")
    return str(name or "").partition(".")[0]
