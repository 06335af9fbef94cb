"""What a live object needs of the server around it.

Rule: an object has none until a function returns it; until then it only
collects what it is told.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import attrs
from twisted.internet.defer import Deferred

from takotwist.core.deadlines import Deadlines
from takotwist.live.settings import Bounds

if TYPE_CHECKING:
    from takotwist.live.bus import Bus


def drive_deferreds(awaitable: Awaitable[Any]) -> Deferred[Any]:
    """Run a coroutine that waits for Deferreds; where no server gave another driver."""

    async def wait() -> Any:
        return await awaitable

    return Deferred.fromCoroutine(wait())


@attrs.frozen(slots=True, eq=False)
class Home:
    """The services.

    :ivar seconds: the clock of the deadlines.
    :ivar drive: runs a coroutine of the app to its end.
    """

    bounds: Bounds
    seconds: Callable[[], float]
    deadlines: Deadlines
    drive: Callable[[Awaitable[Any]], Deferred[Any]]
    bus: Bus
