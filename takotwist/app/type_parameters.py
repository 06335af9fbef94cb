"""Type parameters of a channel: its params, how they are spelled, its payloads.

A checker reads them from the definition, so nothing has to be generated:
``chat(room_id="lobby")`` is checked as a call of the params' own class, and
``publish(Msg(text="hi"))`` against the declared payloads.
"""

from __future__ import annotations

from collections.abc import Awaitable
from types import GenericAlias
from typing import TYPE_CHECKING, Any

from takotwist.app.types import P
from takotwist.core.authorization import Grant
from takotwist.core.json_values import JsonObject

#: What `verify` answers.
Verdict = Grant | JsonObject | bool | None

if TYPE_CHECKING:
    from typing import Generic

    # Python 3.11 knows no defaults; a checker does, and then `Channel[Room]` can be written.
    from typing_extensions import ParamSpec, TypeVar

    #: The arguments of the params' class.
    Q = ParamSpec("Q", default=...)
    #: Any of the payloads.
    M = TypeVar("M", default=Any)
    T = TypeVar("T")
    #: What a `verify` and a handler return.
    V = TypeVar("V", bound=Verdict | Awaitable[Verdict])
    R = TypeVar("R")

    class OfChannel(Generic[P, Q, M]):
        """Generic in what a channel's type says."""

        __slots__ = ()

    class OfPayloads(Generic[M]):
        """Generic in a channel's payloads."""

        __slots__ = ()

else:
    from typing import ParamSpec, TypeVar

    Q, M, T = ParamSpec("Q"), TypeVar("M"), TypeVar("T")
    V, R = TypeVar("V"), TypeVar("R")

    class OfChannel:
        """Generic in what a channel's type says; takes as many parameters as are written."""

        __slots__ = ()
        __class_getitem__ = classmethod(GenericAlias)

    OfPayloads = OfChannel
