"""One parser, and what it may raise."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from takotwist.errors import TakoError


@attrs.frozen
class Parser:
    """One parser.

    :ivar read: takes the bytes.
    :ivar may_raise: what a caller of it expects.
    :ivar seeds: good input, for a fuzzer to begin with.
    """

    read: Callable[[bytes], object]
    may_raise: tuple[type[Exception], ...] = (TakoError,)
    seeds: tuple[bytes, ...] = ()
