"""Many subscriptions over one WebSocket: what is the same on every loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import attrs

from takotwist.client.connections import SharedConnection
from takotwist.client.credentials import Credentials
from takotwist.client.options import SubscriptionOptions
from takotwist.client.seat import GoneChoice
from takotwist.client.subscription import D

#: A skin's kind of subscription.
S = TypeVar("S")


@attrs.define(eq=False)
class AnyMux(ABC, Generic[D, S]):
    """A connection for many topics; use it in ``async with``.

    Every subscription must be read: past the bound of one that is not, nothing more
    is read for any.
    """

    _driver: D
    _connection: SharedConnection

    def subscribe(
        self,
        channel: str,
        *,
        params: Mapping[str, Any] | None = None,
        cursor: str | None = None,
        credentials: Credentials = None,
        on_gone: GoneChoice = "reset",
    ) -> S:
        """A topic on this connection.  The arguments are those of this module's `subscribe`.

        :param credentials: one text, or a callable that gives one.
        """
        options = SubscriptionOptions(channel, params, cursor, credentials, on_gone)
        driver = self._driver
        return self._subscription(options, lambda: self._connection.begin(options, driver.now()))

    @abstractmethod
    def _subscription(self, options: SubscriptionOptions, begin: Callable[[], int]) -> S:
        """A subscription of the loop's own kind."""

    async def close(self) -> None:
        """End all subscriptions and the connection."""
        self._connection.machine.closed()
        self._driver.pump()
        await self._driver.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
