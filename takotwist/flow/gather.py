"""Waiting for several things at once, and for what goes on without whoever waits for it.

A client that leaves has its request cancelled, and Twisted passes that on to whatever the request
waits for.  What was begun is not undone by it: a publish is stored all the same.  Rule: so it must
not look like a failure to those who began it, and what follows it is done by somebody.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.logger import Logger
from twisted.python.failure import Failure

from takotwist.errors import Refusal

T = TypeVar("T")

_logger = Logger()


def gather(waiting: Iterable[Deferred[T]]) -> Deferred[list[T]]:
    """All results.  Fails as the first that fails does, and hears the others; cancelling it
    leaves them as they are."""
    results = gatherResults(list(waiting), consumeErrors=True)
    return shielded(results.addErrback(_first))


def shielded(doing: Deferred[T]) -> Deferred[T]:
    """The answer of `doing`, which goes on where the answer is cancelled."""
    if doing.called and not doing.paused:
        return doing
    answer: Deferred[T] = Deferred()

    def failed(failure: Failure) -> None:
        if answer.called and not failure.check(Refusal):
            _logger.failure("what nobody waits for any more failed", failure)
        answer.errback(failure)

    doing.addCallbacks(answer.callback, failed)
    return answer


def _first(failure: Failure) -> Failure:
    """`gatherResults` wraps what has failed."""
    wrapped = failure.value
    return wrapped.subFailure if isinstance(wrapped, FirstError) else failure
