"""Many subscriptions over one WebSocket, as an asyncio program sees them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import attrs

from takotwist.client.asyncio.driver import Driver
from takotwist.client.asyncio.subscription import Subscription
from takotwist.client.mux import AnyMux
from takotwist.client.options import SubscriptionOptions


@attrs.define(eq=False)
class Mux(AnyMux[Driver, Subscription]):
    """A connection for many topics; use it in ``async with``.

    Every subscription must be read: past the bound of one that is not, nothing more
    is read for any.
    """

    def _subscription(self, options: SubscriptionOptions, begin: Callable[[], int]) -> Subscription:
        news = asyncio.Event()
        seat = options.seat(self._driver.policy, news.set)
        return Subscription(self._driver, seat, begin, False, news)
