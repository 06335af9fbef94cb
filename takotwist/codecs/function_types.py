"""What functions take and give, as JSON Schemas, for those who print types.

Rule: what JSON cannot carry stands in a schema as a mark: a live object by a number
that says which one it is, a date and bytes by their names here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import attrs

#: What is carried beside JSON (protocol, live objects, section 2).
DATE, BYTES = "date", "bytes"

#: A JSON Schema; `None` is anything.
Document = Mapping[str, Any] | None


@attrs.frozen
class MessageTypes:
    """One direction of a live object.

    :ivar answer: what its listeners answer.
    """

    message: Document
    answer: Document = None


@attrs.frozen
class LiveTypes:
    """A live object in a result.

    :ivar directions: of a channel, to the server and to the client; of a broadcast the one.
    """

    kind: Literal["channel", "broadcast"]
    directions: Sequence[MessageTypes]


@attrs.frozen
class ParameterTypes:
    """One parameter.

    :ivar by_name: whether it can be given by name only.
    """

    name: str
    document: Document
    required: bool
    by_name: bool


@attrs.frozen
class FunctionTypes:
    """One function that pages may call.

    :ivar name: on the wire.
    :ivar description: what its author says about it.
    :ivar result: `None` is anything, live objects included.
    :ivar live: the live objects of `result`, by the numbers of their marks.
    """

    name: str
    description: str | None
    parameters: Sequence[ParameterTypes]
    result: Document
    live: Sequence[LiveTypes]
