"""Keys of messages in a channel that keeps the newest of each (`NewestRules`).

Every message of such a channel has a key: what its publisher says, else the field of its data
that the channel names, else the empty key, which all messages without one share: then the
newest of them all is kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from takotwist.core.channel import NewestRules
from takotwist.core.topic import Draft, spelled
from takotwist.errors import BodyInvalid

#: Longest key, in characters.
MAX_KEY_LENGTH = 256

_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_VALUE = msgspec.json.Decoder(str | int | float | bool | None)


def keys_of(rules: NewestRules, drafts: Sequence[Draft]) -> tuple[str, ...]:
    """The key of each draft.

    :raises BodyInvalid: one has none that can be used; says why.
    """
    return tuple([_key_of(rules.key, draft) for draft in drafts])


def _key_of(field: str | None, draft: Draft) -> str:
    if draft.key is not None:
        key = draft.key
    elif field is None:
        return ""
    else:
        key = _value(field, draft.data)
    if not 1 <= len(key) <= MAX_KEY_LENGTH:
        raise BodyInvalid(f"key: must have 1 to {MAX_KEY_LENGTH} characters.")
    return key


def _value(field: str, data: bytes) -> str:
    """The value of a field, as it stands in the name of a topic."""
    try:
        raw = _FIELDS.decode(data).get(field)
    except msgspec.ValidationError:
        raw = None
    if raw is None:
        raise BodyInvalid(
            f"data.{field}: is missing, and it is the key of this channel's messages."
        )
    try:
        return spelled(_VALUE.decode(raw))
    except msgspec.ValidationError:
        raise BodyInvalid(
            f"data.{field}: a key must be text, a number, a boolean or null."
        ) from None
