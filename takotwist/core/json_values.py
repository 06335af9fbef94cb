"""Types of JSON values, for annotations.

A union of what JSON can carry was the alternative: whoever reads a member of a member would
have to say at each step which of six types it is, though a schema has said so before.  Where
a value is only passed on, its type is `object`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

#: A value that JSON has a form for, of the kind that its schema or its reader says.
Json: TypeAlias = Any

#: An object of JSON: a document of a schema, the params of a topic, a frame.
JsonObject: TypeAlias = Mapping[str, Json]
