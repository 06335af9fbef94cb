"""One subscription, as an asyncio program sees it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Self

import attrs

from takotwist.client.asyncio.driver import Driver
from takotwist.client.events import Event
from takotwist.client.subscription import AnySubscription


@attrs.define(eq=False)
class Subscription(AnySubscription[Driver]):
    """Messages of one topic, over as many connections as it takes.

    ``async for event in subscription`` yields `Message` and `Reset`; it ends when
    the subscription is closed and raises what it was refused with.  Use it in
    ``async with``, or loop over it directly: leaving the loop then closes it.
    """

    _news: asyncio.Event
    _managed: bool = attrs.field(default=False, init=False)

    async def publish(
        self, type: str, data: Any, *, idempotency_key: str | None = None
    ) -> str | None:
        """Publish on the topic.

        Waits for a connection where there is none.  Over a cut it is sent again with
        the same idempotency key, so it is stored once.

        :return: the stored message's id; `None` where the app's handler dropped it or the
            server, in plain mode, does not say.
        :raises BodyInvalid: it is no message.  :raises OutgoingFull: too many wait.
        :raises Refusal: the server does not want it.
        """
        topic = self.started()
        return await self._driver.publish(self._seat, topic, type, data, idempotency_key)

    async def __aenter__(self) -> Self:
        self._managed = True
        return await super().__aenter__()

    async def next_event(self) -> Event:
        """The next event, for who does not loop.

        :raises StopAsyncIteration: the subscription was closed.
        """
        while (event := self._take()) is None:
            self._news.clear()
            await self._news.wait()
        return event

    async def __aiter__(self) -> AsyncIterator[Event]:
        try:
            while True:
                try:
                    event = await self.next_event()
                except StopAsyncIteration:
                    return
                yield event
        finally:
            if not self._managed:
                await self.close()
