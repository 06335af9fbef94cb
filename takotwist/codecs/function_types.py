"""What functions take and give, as JSON Schemas, for those who print types.

Rule: what JSON cannot carry, a live object, stands in a schema as a mark with a
number, and the number says which one it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import attrs

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
