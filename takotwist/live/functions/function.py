"""`@function`, a function that pages may call: declaration, arguments, discovery.

Rules: whatever can be wrong with its signature is found when the module is read;
whatever is wrong with a call is found before the function runs.  Discovery is all or
nothing, as `takotwist.app.discovery` says it.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, ParamSpec, TypeVar, get_type_hints, overload

import attrs

from takotwist.app.channel import DEFAULT_HEADER
from takotwist.app.discovery import collected, load
from takotwist.app.types import Declared, DoesNotFit, declare
from takotwist.core.json_values import Json
from takotwist.errors import BodyInvalid, DefinitionError
from takotwist.live.functions.results import Returned
from takotwist.live.values import Mark, decode

P = ParamSpec("P")
R = TypeVar("R")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}")


@attrs.frozen(slots=True)
class Parameter:
    """One parameter of a function.

    :ivar declared: its type; `None` is anything.
    :ivar by_name: it can be given by name only.
    """

    name: str
    declared: Declared | None
    required: bool
    by_name: bool

    def read(self, place: str, data: bytes, marks: Sequence[Mark]) -> object:
        """:raises BodyInvalid: names the place."""
        try:
            return decode(data, marks, self.declared)
        except DoesNotFit as misfit:
            raise BodyInvalid(f"{place}{misfit.path}: {misfit.reason}.") from None
        except (ValueError, RecursionError) as bad:
            raise BodyInvalid(f"{place}: {bad}.") from None


@attrs.frozen(slots=True)
class Verification:
    """The `verify` of a function, and the credentials that it reads.

    :ivar function: for whose calls, by its name.
    :ivar verify: gets a `VerifyRequest`, as a channel's does.
    """

    function: str
    verify: Callable[..., object]
    header: str | None
    cookie: str | None


class Function(Generic[P, R]):
    """A function of the app; called in Python it is the function itself.

    :ivar name: on the wire.
    :ivar place: file and line, for people.
    :ivar finish: it runs to its end though its page has been left.
    """

    def __init__(
        self,
        wrapped: Callable[P, R],
        name: str,
        place: str,
        verification: Verification | None,
        finish: bool = False,
    ) -> None:
        self.wrapped = wrapped
        self.name = name
        self.place = place
        self.verification = verification
        self.finish = finish
        self.__doc__ = wrapped.__doc__
        self.__name__ = getattr(wrapped, "__name__", name)
        self._parameters: Sequence[Parameter] | None = None
        self._returned: Returned | None = None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.wrapped(*args, **kwargs)

    def verified_by(self, verify: Callable[..., object]) -> Function[P, R]:
        """The same function with another `verify`.

        :param verify: reads the credentials that this one's read, or those of the usual header.
        """
        own = self.verification or Verification(self.name, verify, DEFAULT_HEADER, None)
        verification = attrs.evolve(own, verify=verify)
        return Function(self.wrapped, self.name, self.place, verification, self.finish)

    @property
    def parameters(self) -> Sequence[Parameter]:
        """The parameters.

        :raises DefinitionError: a parameter cannot come from a page.
        """
        if self._parameters is None:
            self._parameters = _parameters_of(self.wrapped, self.place)
            self._returned = Returned.of(self.wrapped)
        return self._parameters

    @property
    def returned(self) -> Returned | None:
        """The return type; `None` where that is not said."""
        assert self.parameters is not None
        return self._returned

    def bind(
        self, args: Sequence[bytes], named: Mapping[str, bytes], marks: Sequence[Mark] = ()
    ) -> tuple[list[object], dict[str, Json]]:
        """Decode arguments from JSON, as the function takes them.

        :param marks: their paths begin with ``args`` and an index, or ``named`` and a name.

        :raises BodyInvalid: names the argument.
        """
        for mark in marks:
            if not _belongs(mark, len(args), named):
                raise BodyInvalid(f"values: there is no argument at {mark.path[:2]}.")
        positional = [one for one in self.parameters if not one.by_name]
        if len(args) > len(positional):
            raise BodyInvalid(f"args: {self.name} takes {len(positional)}, not {len(args)}.")
        given = [
            one.read(f"args[{index}] ({one.name})", data, _below(marks, "args", index))
            for index, (one, data) in enumerate(zip(positional, args, strict=False))
        ]
        taken = {one.name for one in positional[: len(args)]}
        by_name = {one.name: one for one in self.parameters}
        named_values: dict[str, object] = {}
        for name, data in named.items():
            if name not in by_name:
                raise BodyInvalid(f"named: {self.name} takes no {name!r}.")
            if name in taken:
                raise BodyInvalid(f"named: {name!r} is given twice.")
            named_values[name] = by_name[name].read(
                f"named.{name}", data, _below(marks, "named", name)
            )
        for one in self.parameters:
            if one.required and one.name not in taken and one.name not in named_values:
                raise BodyInvalid(f"args: {one.name} is missing.")
        return given, named_values

    def __repr__(self) -> str:
        return f"<function {self.name!r} defined in {self.place}>"


def _belongs(mark: Mark, count: int, named: Mapping[str, bytes]) -> bool:
    match mark.path:
        case ["args", int(index), *_]:
            return 0 <= index < count
        case ["named", str(name), *_]:
            return name in named
    return False


def _below(marks: Sequence[Mark], *path: str | int) -> Sequence[Mark]:
    """The marks below one argument, by paths within it."""
    depth = len(path)
    return [Mark(one.path[depth:], one.kind) for one in marks if (*one.path[:depth],) == path]


def _parameters_of(wrapped: Callable[..., object], place: str) -> Sequence[Parameter]:
    try:
        hints = get_type_hints(wrapped, include_extras=True)
    except Exception as unusable:
        raise DefinitionError(f"an annotation cannot be read: {unusable}", place=place) from None
    found = []
    for one in inspect.signature(wrapped).parameters.values():
        if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD):
            raise DefinitionError(f"*{one.name}: a page gives declared arguments only", place=place)
        kind = hints.get(one.name, Any)
        try:
            declared = None if kind is Any else declare(kind, f"parameter {one.name!r}")
        except DefinitionError as unusable:
            raise DefinitionError(unusable.reason, place=place) from None
        by_name = one.kind is one.KEYWORD_ONLY
        found.append(Parameter(one.name, declared, one.default is one.empty, by_name))
    return found


def wire_name(python_name: str) -> str:
    """``on_join_chat`` -> ``onJoinChat``."""
    first, *rest = python_name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)


@overload
def function(wrapped: Callable[P, R], /) -> Function[P, R]: ...


@overload
def function(
    *,
    name: str | None = ...,
    verify: Callable[..., object] | None = ...,
    header: str | None = ...,
    cookie: str | None = ...,
    finish: bool = ...,
) -> Callable[[Callable[P, R]], Function[P, R]]: ...


def function(
    wrapped: Callable[..., object] | None = None,
    /,
    *,
    name: str | None = None,
    verify: Callable[..., object] | None = None,
    header: str | None = "",
    cookie: str | None = None,
    finish: bool = False,
) -> Any:
    """Let pages call this function.

    A coroutine function runs in the reactor, a plain one in a thread.  Arguments are
    checked against the annotations; the result may be anything that JSON can carry,
    with live objects anywhere in it: `channel.client`, or a `BroadcastChannel`.  Where it is
    annotated, one that is something else is a failure of the function.
    Raising `Abort(value)` gives the caller `value`; anything else is a line in the log
    and a generic error for the caller.

    :param name: on the wire; left out, ``on_join_chat`` is ``onJoinChat``.
    :param verify: decides who may call, as a channel's does: it gets a `VerifyRequest`
        with the operation ``call`` and the function's name as its channel, and its subject is
        `context().subject`.  It is asked before each call, and once more for each connection
        of a page that holds live objects.
    :param header: the header that carries credentials; left out ``authorization``, unless a
        cookie is named.
    :param cookie: the cookie that carries them.
    :param finish: whether a coroutine function runs to its end though its caller has left. Left
        out it is cancelled then: what it awaits raises `CancelledError`, and nothing is logged.
    :raises DefinitionError: the name cannot be one.
    """
    if header == "":
        header = None if cookie else DEFAULT_HEADER
    caller = sys._getframe(1)
    place = f"{caller.f_code.co_filename}:{caller.f_lineno}"

    def decorate(wrapped: Callable[P, R]) -> Function[P, R]:
        own = name or wire_name(getattr(wrapped, "__name__", ""))
        if not _NAME.fullmatch(own):
            raise DefinitionError(f"function name {own!r} cannot be one", place=place)
        verification = None
        if verify is not None:
            verification = Verification(own, verify, header and header.lower(), cookie)
        return Function(wrapped, own, place, verification, finish)

    return decorate if wrapped is None else decorate(wrapped)


def discover_functions(
    source: str | Path, *, again: bool = False
) -> Mapping[str, Function[..., object]]:
    """Load all functions of `source`, by their names on the wire.

    :param source: a folder, one file, or the dotted name of a module or package.
    :param again: read the files anew.
    :raises DefinitionError: names the file and, where there is one, the line.
    """
    how = "decorate one with @function"

    def collect(
        modules: Iterable[tuple[str, ModuleType]], each: bool
    ) -> Mapping[str, Function[..., object]]:
        found = collected(modules, Function, "function for pages", how, each=each)
        for one in found.values():
            # Its signature is read here, so that what is wrong with it is said at start.
            assert one.parameters is not None
        return found

    return load(source, collect, again=again)
