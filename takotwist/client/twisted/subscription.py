"""One subscription, as a Twisted program sees it."""

from __future__ import annotations

from typing import Any, Self

import attrs
from twisted.internet.defer import Deferred, fail

from takotwist.client.errors import SubscriptionClosed
from takotwist.client.events import Event
from takotwist.client.subscription import AnySubscription
from takotwist.client.twisted.driver import Driver, Signal


@attrs.define(eq=False)
class Subscription(AnySubscription[Driver]):
    """Messages of one topic, over as many connections as it takes.

    ``async for event in subscription`` yields `Message` and `Reset`; it ends when
    the subscription is closed and raises what it was refused with.  Use it in
    ``async with``, or call `close` when done.
    """

    _news: Signal

    def publish(
        self, type: str, data: Any, *, idempotency_key: str | None = None
    ) -> Deferred[str | None]:
        """Publish on the topic.

        Waits for a connection where there is none.  Over a cut it is sent again with
        the same idempotency key, so it is stored once.

        :return: fires with the stored message's id; with `None` where the app's handler
            dropped it or the server, in plain mode, does not say.
        :raises BodyInvalid: it is no message.  :raises OutgoingFull: too many wait.
        :raises Refusal: the server does not want it.
        """
        try:
            topic = self.started()
        except SubscriptionClosed as closed:
            return fail(closed)
        return self._driver.publish(self._seat, topic, type, data, idempotency_key)

    def __aiter__(self) -> Self:
        self.start()
        return self

    async def __anext__(self) -> Event:
        while (event := self._take()) is None:
            await self._news.wait()
        return event
