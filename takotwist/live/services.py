"""Services of the server that live objects use.

Rule: an object has none until a function returns it; until then it only
collects what it is told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

from takotwist.core.deadlines import Deadlines
from takotwist.live.machine.frames import Bounds
from takotwist.live.machine.send import Backlog

if TYPE_CHECKING:
    from takotwist.live.broadcast.broadcast import Broadcasts


@attrs.frozen(slots=True, eq=False)
class LiveServices:
    """Limits, clock, timers, bus and buffer sum of all live objects.

    :ivar bounds: of the objects.
    :ivar seconds: the clock of the deadlines.
    :ivar backlog: the sum of all buffers.
    """

    bounds: Bounds
    seconds: Callable[[], float]
    deadlines: Deadlines
    broadcasts: Broadcasts
    backlog: Backlog
