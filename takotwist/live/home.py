"""What a live object needs of the server around it.

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
    from takotwist.live.broadcast.bus import Bus


@attrs.frozen(slots=True, eq=False)
class Home:
    """The services.

    :ivar bounds: of the objects.
    :ivar seconds: the clock of the deadlines.
    :ivar backlog: what all objects keep for their pages.
    """

    bounds: Bounds
    seconds: Callable[[], float]
    deadlines: Deadlines
    bus: Bus
    backlog: Backlog
