"""Numbers of things, for people: ``1 topic``, ``2 topics``."""

from __future__ import annotations


def counted(number: float, one: str, many: str | None = None) -> str:
    """A number with the noun that goes with it.

    :param many: the plural, where it is not `one` with an ``s``.
    """
    shown = f"{number:g}" if isinstance(number, float) else str(number)
    return f"{shown} {one if number == 1 else many or one + 's'}"
