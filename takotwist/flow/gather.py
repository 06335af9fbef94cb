"""Waiting for several things at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.python.failure import Failure

T = TypeVar("T")


def gather(waiting: Iterable[Deferred[T]]) -> Deferred[list[T]]:
    """All results.  Fails as the first that fails does, and hears the others."""
    results = gatherResults(list(waiting), consumeErrors=True)
    return results.addErrback(_first)


def _first(failure: Failure) -> Failure:
    """`gatherResults` wraps what has failed."""
    wrapped = failure.value
    return wrapped.subFailure if isinstance(wrapped, FirstError) else failure
