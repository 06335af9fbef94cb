"""Channels with schemas, for the tests of those who print types."""

from __future__ import annotations

from typing import Any

from takotwist.core.channel import ChannelDefinition
from takotwist.core.params import Params, PayloadSchema


def channel(name: str, params_schema: Any = None, /, **messages: Any) -> ChannelDefinition:
    """A channel of `name` with a schema for each type of message."""
    return ChannelDefinition(
        name=name,
        params=Params.none() if params_schema is None else Params.of(params_schema),
        messages={kind: PayloadSchema.of(schema, kind) for kind, schema in messages.items()},
    )
