"""A topic is one channel with one binding of its params.

It is the unit of replay, fan-out and limits.  Rule: two bindings that validate
to the same values are the same topic, whatever their order or spelling, so a
topic is made of validated params only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_plus

import attrs


def _spelled(value: Any) -> str:
    if value is True:
        return "true"
    if value is False:
        return "false"
    if value is None:
        return "null"
    if isinstance(value, float) and value.is_integer():
        # 10 and 10.0 are one number in JSON Schema, so they are one topic.
        return str(int(value))
    return str(value)


@attrs.frozen(slots=True, eq=False)
class Topic:
    """One channel with one binding of its params.

    :ivar channel: the channel's name.
    :ivar params: the validated params that partition the channel.
    :ivar key: the printed form, ``chat?roomId=lobby``; equal keys are equal topics.
    """

    channel: str
    params: Mapping[str, Any]
    key: str

    @classmethod
    def of(cls, channel: str, params: Mapping[str, Any]) -> Topic:
        """The topic of validated `params` (protocol, section 1)."""
        pairs = [
            f"{quote_plus(name)}={quote_plus(_spelled(value))}"
            for name in sorted(params)
            for value in (
                params[name] if isinstance(params[name], list | tuple) else [params[name]]
            )
        ]
        name = quote_plus(channel)
        return cls(channel, dict(params), f"{name}?{'&'.join(pairs)}" if pairs else name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Topic) and other.key == self.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __str__(self) -> str:
        return self.key
