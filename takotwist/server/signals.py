"""What signals do: SIGTERM and SIGINT stop the server calmly, once; SIGHUP has it read again.

Twisted's own handlers stop the reactor anew for each signal, which fails with a
traceback while a stop is under way, and have ``twistd`` die of the signal after a
calm end.  Rule: a handler only passes the news on to the reactor.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

_log = Logger()


def stop_once(reactor: Any) -> None:
    """Have SIGTERM and SIGINT stop `reactor`, whose exit code is then that of a calm end."""
    stopping = False

    def stop(name: str) -> None:
        nonlocal stopping
        if stopping:
            _log.info("{name}: stopping already", name=name)
            return
        stopping = True
        _log.info("{name}: stopping", name=name)
        reactor.stop()

    def install() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(
                number,
                lambda number, frame: reactor.callFromThread(stop, signal.Signals(number).name),
            )

    def ignore() -> None:
        # What is left is the interpreter's own end, in which a signal would still kill.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)

    install()
    reactor.addSystemEventTrigger("after", "shutdown", ignore)
    # The reactor puts its own in their place as it starts.
    reactor.addSystemEventTrigger("after", "startup", install)


def reload_on_hangup(reactor: Any, reload: Callable[[], None]) -> None:
    """Have SIGHUP call `reload` in the reactor."""
    signal.signal(signal.SIGHUP, lambda number, frame: reactor.callFromThread(reload))
