"""Our observer in the place of twistd's own, which knows neither JSON nor credentials.

twistd has no hook for a plugin here, but reads its ``logger`` option only after
the plugin has read its own; twist likewise reads ``fileLogObserverFactory``.
Rule: where the log goes stays what twistd's flags say (--logfile, --syslog,
--logger, -n); only how a line looks is ours.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, MutableMapping
from typing import Any, TextIO, cast

from twisted.logger import ILogObserver
from twisted.python.logfile import LogFile

from takotwist.server.log import ServerLog

#: A log file is put aside at this size (twistd does so at a tenth of it), and this many are kept.
ROTATE_BYTES = 10_000_000
KEPT_FILES = 10


#: Makes twistd's observer once it asks; twistd takes no object but only the name of one.
_make: Callable[[], ILogObserver] | None = None


def take_over(parent: MutableMapping[str, Any], log: Callable[[], ServerLog]) -> None:
    """Have twistd, or twist, log through ours.

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
    """What twistd's ``logger`` option names; see `take_over`."""
    assert _make is not None
    return _make()


def _destination(parent: MutableMapping[str, Any]) -> TextIO:
    """Where twistd would log to: standard output, or a file that SIGUSR1 puts aside."""
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
