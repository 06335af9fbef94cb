"""The reactor of a process, its clock and its signals.

Twisted's reactors count time by the wall
clock: set back an hour, every timer waits an hour longer, keepalives included.  So durations
are counted by the monotonic clock, and unix time is asked for by its own name (`wall`), for
ids, expiries and certificates.

SIGTERM and SIGINT stop the server calmly, once; SIGHUP reloads it.  Twisted's own handlers stop
the reactor anew for each signal, which fails with a traceback while a stop is under way, and
have ``twistd`` die of the signal after a calm end.

Rule: a handler of a signal only passes the news on to the reactor.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

from takotwist.interfaces import IReactor
from takotwist.server.tuning import settle_garbage, show_attribute_names

_log = Logger()

# the reactor


def installed_reactor() -> IReactor:
    """The reactor of the process; Twisted's own where none was installed."""
    from twisted.internet import reactor as installed

    # What it provides is known when it runs.
    reactor: Any = installed
    found: IReactor = reactor
    return found


# the clock


def use_monotonic_time(reactor: Any) -> None:
    """Make `reactor` count by the monotonic clock; to be called before it runs.

    Calls that are scheduled already keep their delays.
    """
    if reactor.seconds is time.monotonic:
        return
    waiting = [(call, call.getTime() - reactor.seconds()) for call in reactor.getDelayedCalls()]
    reactor.seconds = time.monotonic
    for call, delay in waiting:
        call.seconds = time.monotonic
        call.reset(max(0.0, delay))


# signals


def stop_once(reactor: IReactor, *, by_signal: bool = True) -> Callable[[str], None]:
    """Let SIGTERM and SIGINT stop `reactor`, whose exit code is then that of a calm end.

    :param by_signal: whether they do; else they are ignored.
    :return: stops it too, for a reason that is said.
    """
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
        if not by_signal:
            ignore()
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(
                number,
                lambda number, frame: reactor.callFromThread(stop, signal.Signals(number).name),
            )

    def ignore() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)

    install()
    # What is left then is the interpreter's own end, in which a signal would still kill.
    reactor.addSystemEventTrigger("after", "shutdown", ignore)
    # The reactor puts its own in their place as it starts.
    reactor.addSystemEventTrigger("after", "startup", install)
    return stop


def reload_on_hangup(reactor: IReactor, reload: Callable[[], object]) -> None:
    """Let SIGHUP call `reload` in the reactor."""
    signal.signal(signal.SIGHUP, lambda number, frame: reactor.callFromThread(reload))


def mind_signals(
    reactor: IReactor, reload: Callable[[], object], *, stopping: bool = True
) -> Callable[[str], None]:
    """Mind the signals of the process, which is then all set to run `reactor`.

    :param reload: what SIGHUP does.
    :param stopping: whether SIGTERM and SIGINT stop it.
    :return: as `stop_once`.
    """
    reload_on_hangup(reactor, reload)
    stop = stop_once(reactor, by_signal=stopping)
    show_attribute_names()
    settle_garbage()
    return stop
