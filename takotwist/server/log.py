"""The log: readable lines or JSON, without credentials, and no way to forge a line.

Text:  2026-11-21T09:04:05.123Z info  [takotwist.server] Listening at https://localhost:8443
JSON:  {"time":"...","level":"info","logger":"...","message":"...", the event's own fields}

Rule of lines: an event is one line; a traceback follows indented, and only for a fault
of ours, never for a refusal.  That of the app's code is a part of its event's line,
for what collects lines, but on a terminal it is as people read it.

Rule of credentials: our own code never logs one; text that comes from elsewhere may hold one
all the same (a URL in an access line, headers in a library's message, the value in an
exception), so values are taken out, and never words.  A line that says what to do about a
token is of no use without the words after "token:".  So what follows the name of a credential
is one, unless it reads on as a sentence, or is the mark of where a credential would stand.

Rule of twistd: where the log goes stays what its flags say (--logfile, --syslog, --logger, -n);
only how a line looks is ours, because its own observer knows neither JSON nor credentials.
twistd has no hook for a plugin here, but reads its ``logger`` option only after the plugin has
read its own; twist likewise reads ``fileLogObserverFactory``.
"""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Callable, Iterable, MutableMapping
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import TextIO, cast
from urllib.parse import quote

from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    Logger,
    LogLevel,
    LogLevelFilterPredicate,
    formatEvent,
    globalLogBeginner,
)
from twisted.python.failure import Failure
from twisted.python.logfile import LogFile

from takotwist.errors import Refusal, TakoError
from takotwist.server.config import Config
from takotwist.server.log_rate_limit import LogRateLimit

#: A log file is put aside at this size (twistd does so at a tenth of it), and this many are kept.
ROTATE_BYTES = 10_000_000
KEPT_FILES = 10

_log = Logger()

# credentials

#: The mark in the place of a credential.
GONE = "[redacted]"

#: A known secret shorter than this is part of ordinary words.
SHORTEST_KNOWN = 6

#: As they are on the wire, in a WSGI environment, and in the names of Python's own objects.
_HEADERS = (
    r"(?:http_)?(?:proxy[-_])?authorization|(?:http_|set-|simple)?cookies?"
    r"|(?:http_)?x[-_]tako[-_]internal[-_]token"
)
_FIELDS = (
    r"access(?:_|%5f)token|refresh_token|id_token|token|auth|password|passwd|secret|api[_-]?key"
    r"|publish[_-]?key"
)

#: A quoted value, as JSON and Python show one, and a list of them.
_QUOTED = r"""b?(?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|\\"[^"]*\\"|\\'[^']*\\')"""

#: Where a name begins, and what stands between it and its value; in JSON within JSON and within
#: a URL too.
_BEGIN = r"(?:(?<![A-Za-z0-9])|(?<=%22)|(?<=%27))"
_QUOTE = r"""(?:\\?['"]|%22|%27)"""
_BETWEEN = rf"""({_QUOTE}\s*(?:[:,=]|%3a)\s*(?:%22|%27)?|\s*[:=]\s*)"""

_LIST = rf"[\[(](?:\s*{_QUOTED}\s*,?)+\s*[\])]"

_SCHEMES = r"(?:bearer|basic|digest|negotiate|token|apikey)"

#: Where no credential begins: a sentence that goes on in small letters, behind a space; the
#: mark of where one would stand, as in ``Bearer <key>``; what JSON and Python call nothing.
#: A secret of small letters alone is still one where no word follows it.
_WORDS = rf"""(?<=\s)(?-i:(?!{_SCHEMES}\s)[a-z]+[,;:]?\s+(?:[a-z]+\b(?![=0-9])|[(<'"{{\[]))"""
_NO_VALUE = rf"(?!{_WORDS}|(?:{_SCHEMES}\s+)?<|(?:true|false|null|none)\b)"

_PATTERNS = (
    # Headers, as they are on the wire and as Python shows them: b'cookie': [b'...'].
    re.compile(
        rf"""(?i){_BEGIN}({_HEADERS}){_BETWEEN}"""
        rf"""{_NO_VALUE}(?:{_LIST}|{_QUOTED}|[^\s][^\r\n]*)"""
    ),
    # Fields of a query, of JSON, of key=value text.
    re.compile(
        rf"""(?i){_BEGIN}({_FIELDS}){_BETWEEN}"""
        rf"""{_NO_VALUE}(?:{_LIST}|{_QUOTED}|[^\s&"'#,;)}}\]]+)"""
    ),
)

#: What is said of a scheme and is no credential of it.
_SAID_OF_SCHEMES = r"(?!(?:auth|authentication|authorization|credentials?|tokens?|keys?)\b|realm=)"
_SCHEME = re.compile(
    rf"(?i)\b(bearer|basic)(\s+){_NO_VALUE}{_SAID_OF_SCHEMES}[A-Za-z0-9._~+/=-]{{6,}}"
)
_USER = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^/\s\"'?#]+@")
_OWN_KEY = re.compile(r"\btako_[a-z]+_[A-Za-z0-9_-]{16,}")
_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*")

#: One of these stands in everything that a pattern above finds.  Nearly no line of a log has
#: any, and to look for all at once costs a tenth of looking for each.
_SIGNS = re.compile(r"(?i)auth|cookie|token|passw|secret|key|bearer|basic|://|tako_|eyj")

#: A field of a structured event whose name is one of these is not shown at all.
_SECRET_NAME = re.compile(rf"(?i)^({_HEADERS}|{_FIELDS})$")


class Redactor:
    """Remover of credentials from text.

    :param secrets: the server's own, found wherever they stand.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._known: re.Pattern[str] | None = None
        self.know(secrets)

    def know(self, secrets: Iterable[str]) -> None:
        """Replace the list of the server's own secrets."""
        long = {secret for secret in secrets if len(secret) >= SHORTEST_KNOWN}
        long |= {quote(secret, safe="") for secret in long}
        alternatives = "|".join(re.escape(one) for one in sorted(long, key=len, reverse=True))
        self._known = re.compile(alternatives) if alternatives else None

    def text(self, text: str) -> str:
        """`text` without credentials."""
        if self._known is not None:
            text = self._known.sub(GONE, text)
        if _SIGNS.search(text) is None:
            return text
        for pattern in _PATTERNS:
            text = pattern.sub(rf"\1\2{GONE}", text)
        text = _SCHEME.sub(rf"\1\2{GONE}", text)
        text = _USER.sub(rf"\1{GONE}@", text)
        return _JWT.sub(GONE, _OWN_KEY.sub(GONE, text))

    def field(self, name: str, value: object) -> object:
        """A field of a structured event: by its name, else its text, else as it is."""
        if _SECRET_NAME.match(name):
            return GONE
        return self.text(value) if isinstance(value, str) else value


# lines

#: The longest message, in characters.  A peer may have a part in what it says.
LONGEST_MESSAGE = 8_192
LONGEST_TRACEBACK = 65_536

#: Control characters, and those that turn the direction of text, in a terminal or an editor.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def escaped(text: str) -> str:
    """`text` on one line, its control characters written out: ``\\n``, ``\\x1b``."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def _formatted(event: LogEvent) -> str:
    """The text of `formatEvent`, which takes ten times as long for what most events are."""
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
    """The sentence of a refusal, or of another error on purpose."""
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


def text_line(
    event: LogEvent, redactor: Redactor, *, on_terminal: bool = False, process: str = ""
) -> str:
    """One event as text, its end of line included.

    :param on_terminal: give the traceback of an app's code lines of its own.
    :param process: whose event it is, where a server has several.
    """
    message = _message(event, redactor) + _decision(event, redactor)
    has_trace = on_terminal and isinstance(event.get("trace"), str)
    first, *below = message.split("\n") if has_trace else [message]
    name = escaped(str(event.get("log_namespace", "-")))
    whose = f"{process} " if process else ""
    lines = [f"{_time(event)} {_level(event):<5} {whose}[{name}] {escaped(first)}"]
    if "log_failure" in event:
        below += _traceback(event, redactor).splitlines()
    # Indented, so that no line of a traceback, whatever a peer put into it, looks like an event.
    lines += ["    " + escaped(line) for line in below]
    return "\n".join(lines) + "\n"


def json_line(event: LogEvent, redactor: Redactor, *, process: str = "") -> str:
    """One event as a JSON object, its end of line included; `process` as for `text_line`."""
    entry: dict[str, object] = {
        "time": _time(event),
        "level": _level(event),
        **({"process": process} if process else {}),
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


# observers


class ServerLog:
    """Maker of observers, which changes what they write while they are at it.

    :param config: its ``[log]``, and its secrets, which are never written.
    :param process: the name of this process, where a server has several.
    :ivar out: where the last observer writes to.
    """

    def __init__(self, config: Config, process: str = "") -> None:
        self._process = process
        self.out: TextIO | None = None
        self._redactor = Redactor()
        self._filter = LogLevelFilterPredicate()
        self._rate = LogRateLimit()
        self._as_json = config.log.format == "json"
        self.apply(config)

    def apply(self, config: Config) -> None:
        """Take up another level and other secrets (SIGHUP); the format stays."""
        self._redactor.know(config.secrets)
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
        form = (
            partial(json_line, process=self._process)
            if self._as_json
            else partial(text_line, on_terminal=on_terminal, process=self._process)
        )
        self.out = out

        def line(event: LogEvent) -> str | None:
            if not self._rate.takes(event):
                return None
            events = [*self._rate.left_out(float(event.get("log_time", 0.0))), event]
            return "".join(form(one, self._redactor) for one in events)

        return FilteringLogObserver(FileLogObserver(out, line), [self._filter])

    def write(self, lines: str) -> None:
        """Pass on what another process of the server has logged."""
        if self.out is not None:
            self.out.write(lines)
            self.out.flush()
            return
        # Some logger of twistd's, such as syslog: a line an event.
        for line in lines.splitlines():
            _log.info("{line}", line=line)


def start_logging(log: ServerLog, out: TextIO = sys.stderr) -> Callable[[], None]:
    """Log to `out`, for a program that twistd does not run.

    What was logged before is written too.
    """
    observer = log.observer(out)
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False, discardBuffer=False)
    return out.flush


# twistd

#: Makes twistd's observer once it asks; twistd takes no object but only the name of one.
_make: Callable[[], ILogObserver] | None = None


def take_over(parent: MutableMapping[str, object], log: Callable[[], ServerLog]) -> None:
    """Make twistd, or twist, log through ours.

    :param parent: the options of twistd or twist.
    :param log: asked for when logging begins, after the configuration was read.
    """
    global _make
    if "fileLogObserverFactory" in parent:
        parent["fileLogObserverFactory"] = lambda out: log().observer(out)
    elif not parent.get("logger") and not parent.get("syslog"):
        _make = lambda: log().observer(_destination(parent))  # noqa: E731
        parent["logger"] = f"{__name__}.{observer.__name__}"


def observer() -> ILogObserver:
    """The observer that twistd's ``logger`` option names; see `take_over`."""
    assert _make is not None
    return _make()


def _destination(parent: MutableMapping[str, object]) -> TextIO:
    """The file that twistd would log to: standard output, or a file that SIGUSR1 puts aside."""
    name, foreground = parent.get("logfile"), parent.get("nodaemon", False)
    if name == "-" or (foreground and not name):
        if not foreground:
            raise SystemExit("Daemons cannot log to stdout, exiting!")
        return sys.stdout
    file = LogFile.fromFullPath(
        name or "twistd.log", rotateLength=ROTATE_BYTES, maxRotatedFiles=KEPT_FILES
    )
    if not signal.getsignal(signal.SIGUSR1):

        def rotate(number: int, frame: object) -> None:
            from twisted.internet import reactor

            reactor.callFromThread(file.rotate)  # type: ignore[attr-defined]

        signal.signal(signal.SIGUSR1, rotate)
    return cast(TextIO, file)
