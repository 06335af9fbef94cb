"""Throttle of warnings that strangers can cause: one a minute of each kind.

Rule: a kind is a template of ours, so there are as many as the code has; what is left out
is counted, and the next line says how many there were.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.logger import Logger

#: Seconds between two lines of one kind.
INTERVAL = 60.0


@attrs.define(slots=True)
class LogThrottle:
    """Logger of throttled warnings.

    :ivar seconds: the time.
    """

    _log: Logger
    seconds: Callable[[], float]
    #: By template: when it was written, and how many were left out since.
    _said: dict[str, tuple[float, int]] = attrs.field(factory=dict, init=False)

    def warn(self, template: str, **fields: object) -> None:
        """Log a warning, unless its kind was logged within the interval.

        :param template: as `Logger.warn` takes it.
        """
        now = self.seconds()
        at, left_out = self._said.get(template, (-INTERVAL, 0))
        if 0 <= now - at < INTERVAL:
            self._said[template] = (at, left_out + 1)
            return
        self._said[template] = (now, 0)
        again = f" ({left_out} more since the last such line)" if left_out else ""
        self._log.warn(template + "{again}", again=again, **fields)
