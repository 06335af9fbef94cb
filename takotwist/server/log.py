"""The log: readable lines or JSON, without credentials, and no way to forge a line.

Text:  2026-11-21T09:04:05.123Z info  [takotwist.server] Listening at https://localhost:8443
JSON:  {"time":"...","level":"info","logger":"...","message":"...", the event's own fields}
Rule: an event is one line; a traceback follows indented, and only for a fault
of ours, never for a refusal.  That of the app's code is a part of its event's line,
for what collects lines, but on a terminal it is as people read it.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Any, TextIO

from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    formatEvent,
    globalLogBeginner,
)
from twisted.python.failure import Failure

from takotwist.errors import Refusal, TakoError
from takotwist.server.config import Config
from takotwist.server.log_rate import LogRate
from takotwist.server.redact import Redactor

#: The longest message, in characters.  A peer may have a part in what it says.
LONGEST_MESSAGE = 8_192
LONGEST_TRACEBACK = 65_536

#: Control characters, and those that turn the direction of text, in a terminal or an editor.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def escaped(text: str) -> str:
    """`text` on one line, its control characters written out: ``\\n``, ``\\x1b``."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def _formatted(event: LogEvent) -> str:
    """As `formatEvent`, which takes ten times as long for what most events are."""
    form = event.get("log_format")
    if isinstance(form, str) and "()" not in form:
        try:
            return form.format_map(event)
        except Exception:
            # It knows what to do with an event that cannot be shown.
            return formatEvent(event)
    return formatEvent(event)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_MESSAGE else text[:LONGEST_MESSAGE] + "..."


def _message(event: LogEvent, redactor: Redactor) -> str:
    text = _formatted(event)
    failure = event.get("log_failure")
    if not text and isinstance(failure, Failure):
        text = "A fault"
    return redactor.text(_cut(text))


def _traceback(event: LogEvent, redactor: Redactor) -> str:
    """The traceback, where the event has one and the failure is nobody's decision."""
    failure = event.get("log_failure")
    if not isinstance(failure, Failure) or isinstance(failure.value, TakoError):
        return ""
    return redactor.text(failure.getTraceback()[-LONGEST_TRACEBACK:].rstrip())


def _decision(event: LogEvent, redactor: Redactor) -> str:
    """What a refusal, or another error on purpose, says."""
    failure = event.get("log_failure")
    if isinstance(failure, Failure) and isinstance(failure.value, TakoError):
        code = f" ({failure.value.code})" if isinstance(failure.value, Refusal) else ""
        return redactor.text(f": {failure.value}{code}")
    return ""


@lru_cache(maxsize=1)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.")


def _time(event: LogEvent) -> str:
    microseconds = int(event.get("log_time", 0.0) * 1_000_000)
    second, rest = divmod(microseconds, 1_000_000)
    return f"{_second(second)}{rest // 1000:03d}Z"


def _level(event: LogEvent) -> str:
    return str(getattr(event.get("log_level"), "name", "info"))


def text_line(event: LogEvent, redactor: Redactor, *, on_terminal: bool = False) -> str:
    """One event as text, its end of line included.

    :param on_terminal: give the traceback of an app's code lines of its own.
    """
    message = _message(event, redactor) + _decision(event, redactor)
    has_trace = on_terminal and isinstance(event.get("trace"), str)
    first, *below = message.split("\n") if has_trace else [message]
    name = escaped(str(event.get("log_namespace", "-")))
    lines = [f"{_time(event)} {_level(event):<5} [{name}] {escaped(first)}"]
    if "log_failure" in event:
        below += _traceback(event, redactor).splitlines()
    # Indented, so that no line of a traceback, whatever a peer put into it, looks like an event.
    lines += ["    " + escaped(line) for line in below]
    return "\n".join(lines) + "\n"


def json_line(event: LogEvent, redactor: Redactor) -> str:
    """One event as a JSON object, its end of line included."""
    entry: dict[str, Any] = {
        "time": _time(event),
        "level": _level(event),
        "logger": str(event.get("log_namespace", "-")),
        "message": _message(event, redactor) + _decision(event, redactor),
    }
    failure = event.get("log_failure")
    if isinstance(failure, Failure):
        entry["exception"] = failure.type.__qualname__ if failure.type else "unknown"
        if traceback := _traceback(event, redactor):
            entry["traceback"] = traceback
    for name, value in event.items():
        own = not name.startswith("log_") and name not in entry
        if own and isinstance(value, (str, int, float, bool)):
            entry[name] = redactor.field(name, _cut(value) if isinstance(value, str) else value)
    return json.dumps(entry, ensure_ascii=True, default=str) + "\n"


class ServerLog:
    """Makes observers, and changes what they write while they are at it.

    :param config: its ``[log]``, and its secrets, which are never written.
    """

    def __init__(self, config: Config) -> None:
        self._redactor = Redactor()
        self._filter = LogLevelFilterPredicate()
        self._rate = LogRate()
        self._as_json = config.log.format == "json"
        self.apply(config)

    def apply(self, config: Config) -> None:
        """Take up another level and other secrets (SIGHUP); the format stays."""
        self._redactor.know(
            (*config.publish.keys, *([config.app.token] if config.app.token else []))
        )
        level = LogLevel.levelWithName(config.log.level)
        self._filter.clearLogLevels()
        self._filter.setLogLevelForNamespace("", level)
        # Twisted tells of every factory that starts and stops.
        quieter = LogLevel.warn if config.log.level == "info" else level
        self._filter.setLogLevelForNamespace("twisted", quieter)
        self._filter.setLogLevelForNamespace("log_legacy", quieter)

    def observer(self, out: TextIO) -> ILogObserver:
        """An observer that writes to `out`."""
        # A file that twistd puts aside at a size has no such method.
        on_terminal = getattr(out, "isatty", bool)()
        form = json_line if self._as_json else partial(text_line, on_terminal=on_terminal)

        def line(event: LogEvent) -> str | None:
            if not self._rate.takes(event):
                return None
            events = [*self._rate.left_out(float(event.get("log_time", 0.0))), event]
            return "".join(form(one, self._redactor) for one in events)

        return FilteringLogObserver(FileLogObserver(out, line), [self._filter])


def start_logging(log: ServerLog, out: TextIO = sys.stderr) -> Callable[[], None]:
    """Log to `out`, for a program that twistd does not run.

    What was logged before is written too.
    """
    observer = log.observer(out)
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False, discardBuffer=False)
    return out.flush
