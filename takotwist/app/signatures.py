"""Signature check: a function can be called as the decorator's caller will.

Found while the app's module is read; found at the first client's call it would be
a server error at night.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

from takotwist.errors import DefinitionError


def check_takes(function: Callable[..., object], *names: str, what: str) -> None:
    """Check that `function` can be called with so many positional arguments.

    :param names: of the arguments, for the error.
    :param what: which function this is, for the error.
    :raises DefinitionError: it cannot.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # written in C, say; the call will tell
    try:
        signature.bind(*names)
    except TypeError:
        raise DefinitionError(
            f"{what} is called with ({', '.join(names)}) and takes {_bare(signature)}"
        ) from None


def _bare(signature: inspect.Signature) -> inspect.Signature:
    """Without types, which say nothing here."""
    empty = inspect.Signature.empty
    parameters = [one.replace(annotation=empty) for one in signature.parameters.values()]
    return inspect.Signature(parameters)
