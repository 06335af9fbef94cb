"""`Newest`: what a channel that keeps the newest message of each key says of keys."""

from __future__ import annotations

import attrs

from takotwist.app.payloads import Payloads
from takotwist.core.channel import NewestRules
from takotwist.core.params import PayloadSchema
from takotwist.errors import DefinitionError


@attrs.frozen(slots=True, kw_only=True)
class Newest:
    """A channel that keeps the newest message of each key; give it to `define_channel`.

    A message replaces the earlier one of its key, and stays until it is replaced or deleted,
    whatever the replay window is.

    :ivar key: the field of every message's data that is its key, by its name in Python or on
        the wire.  Left out: what `publish` is told, and where it is told nothing, all messages
        have one key, so that the newest alone is kept.
    :ivar max_keys: most keys of a topic; a message of one more is refused.
    :ivar conflate: whether a reader that is behind, because it is slow or was away, skips a
        message when there is a later one of its key.  Left out: it has each that is in memory
        still.
    """

    key: str | None = None
    max_keys: int = 1_000
    conflate: bool = False


def newest_of(said: Newest | str | bool | None, payloads: Payloads) -> NewestRules | None:
    """The rules as plain data.

    :param said: `True` for `Newest` as it is, text for its `key`.
    :param payloads: that the channel declares.
    :raises DefinitionError: names the argument, or the message type that lacks the field.
    """
    if said is None or said is False:
        return None
    if said is True:
        said = Newest()
    if isinstance(said, str):
        said = Newest(key=said)
    if not isinstance(said, Newest):
        raise DefinitionError(f"newest must be a Newest, True or a field's name, not {said!r}")
    if said.key is None:
        return NewestRules(max_keys=said.max_keys, conflate=bool(said.conflate))
    if not isinstance(said.key, str) or not said.key:
        raise DefinitionError(f"newest: key must be the name of a field, not {said.key!r}")
    names = payloads.wire_names(said.key)
    if len(names) > 1:
        raise DefinitionError(
            f"newest: key {said.key!r} has several names on the wire ({', '.join(sorted(names))})"
        )
    rules = NewestRules(key=names.pop(), max_keys=said.max_keys, conflate=bool(said.conflate))
    for kind, schema in payloads.schemas.items():
        check_field(rules, kind, schema)
    return rules


def check_field(rules: NewestRules | None, kind: str, payload: PayloadSchema) -> None:
    """:raises DefinitionError: the payload of message type `kind` has no field for the key."""
    if rules is None or rules.key is None:
        return
    root = payload.schema.resolve(payload.schema.document)
    if "properties" in root and rules.key not in root["properties"]:
        raise DefinitionError(
            f"newest: the payload of message type {kind!r} has no field {rules.key!r}"
        )
