"""The one refusal that a failure is to the client.

Rule: a refusal is told as it is; anything else is logged for the operator, and told
as an error of the server that says nothing of it.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger
from twisted.python.failure import Failure

from takotwist.errors import InternalError, Refusal


def refusal_of(failure: Failure, log: Logger, message: str, **fields: Any) -> Refusal:
    """The refusal that `failure` is, or that stands for it.

    :param log: gets what nobody thought of.
    :param message: says there what has failed; a format string with `fields`.
    """
    refusal = failure.value
    if isinstance(refusal, Refusal):
        return refusal
    log.failure(message, failure, **fields)
    return InternalError()
