"""A cursor is the id of the last message that a client has seen.

Opaque to clients; to us a whole number that JavaScript can hold exactly.
Rule: text becomes a cursor here and nowhere else.
"""

from __future__ import annotations

from takotwist.errors import CursorInvalid

#: The largest id there can be: what a double holds exactly (RFC 8259, section 6).
MAX_ID = 2**53 - 1

#: Not a cursor: it asks for everything still in the window and is never too old.
EVERYTHING = 0

#: No id: stands for a cursor that no log could have given out, where that is no error.
FOREIGN = MAX_ID + 1


def parse_cursor(text: str | int, field: str = "cursor", *, foreign: bool = False) -> int:
    """Read a cursor that a client sent.

    :param text: decimal digits, or a number from JSON.
    :param field: how the client called it, for the error.
    :param foreign: give `FOREIGN` in place of raising; the log then says the same of it.
    :raises CursorInvalid: when it is no id that a log could have given out.
    """
    try:
        return _parsed(text, field)
    except CursorInvalid:
        if foreign:
            return FOREIGN
        raise


def _parsed(text: str | int, field: str) -> int:
    if isinstance(text, bool):
        raise CursorInvalid(f"{field} must be a decimal id, not a boolean.")
    if isinstance(text, str):
        if not (text.isascii() and text.isdigit() and len(text) <= 16):
            raise CursorInvalid(f"{field} must be a decimal id that this server gave out.")
        text = int(text)
    if not 0 <= text <= MAX_ID:
        raise CursorInvalid(f"{field} must lie between 0 and {MAX_ID}.")
    return text
