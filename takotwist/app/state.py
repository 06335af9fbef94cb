"""The function of a channel that gives the state of a topic as of a cursor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic

import attrs
import msgspec

from takotwist.app.signatures import check_takes
from takotwist.app.types import Declared, P, declare, to_json
from takotwist.codecs.plain_json import ENCODING_ERRORS, failed_in
from takotwist.core.channel import StateRules
from takotwist.core.params import PayloadSchema, Schema
from takotwist.errors import BodyInvalid


@attrs.frozen(slots=True, kw_only=True)
class StateRequest(Generic[P]):
    """The question what the state of a topic is; what `Channel.state` calls its function with.

    :ivar channel: the channel's name.
    :ivar params: of the topic, as the declared type.
    :ivar cursor: a cursor as of now: every message up to it is in what you read from here on.
    """

    channel: str
    params: P
    cursor: str


@attrs.frozen(slots=True)
class State:
    """A state that says itself as of when it is; return it where `StateRequest.cursor` is not it.

    :ivar data: what JSON can carry, of the declared type.
    :ivar cursor: the id of the last message that is in it, as a publish answered it.
    """

    data: Any
    cursor: str


@attrs.frozen(slots=True)
class StateFunction:
    """A channel's function, and the declared type of what it gives."""

    function: Callable[..., Any]
    _declared: Declared | None
    _rules: StateRules

    @classmethod
    def of(cls, function: Callable[..., Any], kind: object, what: str) -> StateFunction:
        """:raises DefinitionError: it takes no request, or the type has no JSON Schema."""
        check_takes(function, "request", what=what)
        if kind is None:
            return cls(function, None, StateRules())
        declared = declare(kind, f"the type of {what}")
        schema = PayloadSchema(Schema.of(declared.document, f"the schema of {what}"))
        return cls(function, declared, StateRules(schema=schema))

    @property
    def rules(self) -> StateRules:
        """The part of it that the server knows."""
        return self._rules

    def write(self, result: object) -> bytes:
        """Encode the function's result, as the answer to the question.

        :raises BodyInvalid: that is no state; names the path inside ``data``.
        """
        state = result if isinstance(result, State) else State(result, "")
        try:
            data = to_json(state.data)
        except ENCODING_ERRORS as failed:
            raise BodyInvalid(f"{failed_in(state.data, 'state', to_json, failed)}.") from None
        if self._rules.schema is not None:
            self._rules.schema.check(data)
        cursor = {"cursor": str(state.cursor)} if state.cursor != "" else {}
        return msgspec.json.encode({"data": msgspec.Raw(data), **cursor})
