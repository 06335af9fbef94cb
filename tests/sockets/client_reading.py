"""Reading a subscription of a Python client, whatever its loop."""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import Any

from takotwist.client.events import Event, Message
from takotwist.client.machine.policy import Policy

#: Short delays: the tests are about what happens, the vectors are about when.
QUICK = Policy(base_ms=5, cap_ms=50)

#: Params of the room that most of them read.
A = {"roomId": "a"}


async def texts(subscription: AsyncIterable[Event], count: int) -> list[Any]:
    """The next `count` events: texts of messages, and resets as they are."""
    got: list[Any] = []
    async for event in subscription:
        got.append(event.data["text"] if isinstance(event, Message) else event)
        if len(got) == count:
            break
    return got
