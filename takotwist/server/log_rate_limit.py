"""Rate limit of log lines, so that no stranger can fill the log.

Nearly every line that a client can cause is one of a few templates, with its address.  Each
kind has a rate for one address and one for all, far above what a day brings; what is past
it is counted, and said.  Rule: lines of the app's own loggers are the operator's, and are
never left out.
"""

from __future__ import annotations

from collections import Counter

from twisted.logger import LogEvent, LogLevel

from takotwist.core.counted import counted
from takotwist.core.limits import Rate, network_of
from takotwist.errors import RateLimited

#: Lines of one kind for one address: a second, and at once.
OF_ADDRESS = 10.0, 100
#: Lines of one kind: a second, and at once.
OF_KIND = 100.0, 1000
#: The same of those with a traceback, which are a hundred times as long.
OF_FAILURES = 1.0, 20

#: Seconds after which it is said how many were left out, at the next line of any kind.
TELL_AFTER = 10.0

_OURS = ("takotwist.", "twisted.", "log_legacy")


class LogRateLimit:
    """Rate limit of one log."""

    def __init__(self) -> None:
        self._of_address = Rate()
        self._of_kind = Rate()
        self._of_failures = Rate()
        self._left_out: Counter[str] = Counter()
        self._since = 0.0

    def takes(self, event: LogEvent) -> bool:
        """`True` if this one is to be written; else it is counted."""
        name = str(event.get("log_namespace", ""))
        if not name.startswith(_OURS):
            return True
        kind = str(event.get("log_format") or name)
        now = float(event.get("log_time", 0.0))
        try:
            if "log_failure" in event:
                self._of_failures.take(kind, now, *OF_FAILURES)
            else:
                address = event.get("address")
                if isinstance(address, str) and address:
                    self._of_address.take(f"{network_of(address)} {kind}", now, *OF_ADDRESS)
                self._of_kind.take(kind, now, *OF_KIND)
        except RateLimited:
            if not self._left_out:
                self._since = now
            self._left_out[kind] += 1
            return False
        return True

    def left_out(self, now: float) -> list[LogEvent]:
        """Events that say how many were left out, where it is time to."""
        if not self._left_out or 0 <= now - self._since < TELL_AFTER:
            return []
        told, self._left_out = self._left_out, Counter()
        return [
            {
                "log_format": "{lines} like this one not written: {kind}",
                "lines": counted(count, "line"),
                "log_level": LogLevel.warn,
                "log_namespace": __name__,
                "log_time": now,
                "count": count,
                "kind": kind,
            }
            for kind, count in told.items()
        ]
