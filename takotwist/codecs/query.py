"""Params as a query spells them, and the other parts of a request (protocol, section 1).

One spelling for all clients of ours.  Rule: a param that is `None` is one that was not
given: it is left out, and where the channel needs it the server says so by its name.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from takotwist.codecs.plain_json import ENCODING_ERRORS, failed_in, fault_in, is_text
from takotwist.core.json_values import Json
from takotwist.errors import BodyInvalid, ChannelUnknown, CursorInvalid, ParamsInvalid

#: Longest idempotency key, in characters (protocol, section 7).
MAX_KEY_LENGTH = 255

#: Longest sentence about a streamed message that failed, in characters.
MAX_ERROR_LENGTH = 200


def check_channel(channel: str) -> str:
    """A name that a channel can have.  :raises ChannelUnknown: it is none."""
    if not isinstance(channel, str) or not channel or not is_text(channel):
        raise ChannelUnknown(f"No channel can have the name {channel!r}.")
    return channel


def check_cursor(cursor: str | None) -> str | None:
    """A cursor that can go into a header and a query.  :raises CursorInvalid: it is none."""
    if cursor is None or (isinstance(cursor, str) and cursor.isprintable() and cursor):
        return cursor
    raise CursorInvalid(f"The cursor {cursor!r} is not one that a server gives out.")


def check_key(key: str) -> str:
    """An idempotency key as it can be sent.

    :raises BodyInvalid: it is none; says what one is and not what came.
    """
    usable = isinstance(key, str) and key.isascii() and key.isprintable() and key.strip() == key
    if not usable or not 1 <= len(key) <= MAX_KEY_LENGTH:
        raise BodyInvalid(
            f"idempotency_key must be 1 to {MAX_KEY_LENGTH} printable ASCII characters,"
            " without spaces around them."
        )
    return key


def given(params: Mapping[str, object]) -> dict[str, Json]:
    """`params` as plain values, without those that are `None`.

    :raises ParamsInvalid: names the param that cannot be sent.
    """
    if not isinstance(params, Mapping):
        raise ParamsInvalid(f"params must be named values, not {type(params).__name__}.")
    plain: dict[str, Json] = {}
    for name, value in params.items():
        if not isinstance(name, str):
            raise ParamsInvalid(f"params: the name {name!r} is no text.")
        fault = fault_in(name, f"param {name!r}") or fault_in(value, f"param {name!r}")
        if fault is not None:
            raise ParamsInvalid(f"{fault}.")
        try:
            made = _made(value)
        except ENCODING_ERRORS as failed:
            reason = failed_in(value, f"param {name!r}", _made, failed)
            raise ParamsInvalid(f"{reason}.") from None
        if made is None:
            continue
        if isinstance(made, list) and None in made:
            raise ParamsInvalid(f"param {name!r}[{made.index(None)}]: None is nothing to send.")
        # Once more, for what a typed value was made into.
        fault = fault_in(made, f"param {name!r}")
        if fault is not None:
            raise ParamsInvalid(f"{fault}.")
        plain[name] = made
    return plain


def query_of(params: Mapping[str, object]) -> list[tuple[str, str]]:
    """`params` as query pairs: sorted by key, lists as repeated keys, `None` left out.

    :raises ParamsInvalid: names the param that cannot be sent.
    """
    plain = given(params)
    return [
        (name, _spelled(value))
        for name in sorted(plain)
        for value in (plain[name] if isinstance(plain[name], list) else [plain[name]])
    ]


def _made(value: object) -> object:
    return msgspec.to_builtins(value, str_keys=True)


def _spelled(value: object) -> str:
    # JSON's words for truth and numbers.
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
