"""Many subscriptions over one WebSocket, as a Twisted program sees them."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from takotwist.client.mux import AnyMux
from takotwist.client.options import SubscriptionOptions
from takotwist.client.twisted.driver import Driver, Signal
from takotwist.client.twisted.subscription import Subscription


@attrs.define(eq=False)
class Mux(AnyMux[Driver, Subscription]):
    """A connection for many topics; use it in ``async with``.

    Every subscription must be read: past the bound of one that is not, nothing more
    is read for any.
    """

    def _subscription(self, options: SubscriptionOptions, begin: Callable[[], int]) -> Subscription:
        news = Signal()
        seat = options.seat(self._driver.policy, news.fire)
        return Subscription(self._driver, seat, begin, False, news)
