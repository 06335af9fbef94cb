"""The main program of a process that a supervisor started.

    python -P -m takotwist.server.supervisor.child DESCRIPTOR NAME

Its first message says what it is, and of which version the messages, the memory and the sockets
are that it shares with the supervisor and the other processes.  Rule: it never outlives its
supervisor by more than a drain.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

import attrs

from takotwist.server.supervisor.kinds import VERSION, Start

if TYPE_CHECKING:
    from takotwist.server.config import Config


class ChildService(Protocol):
    """Result of an entry (`Kind.entry`), ``make(child, reactor)``.

    It calls `Child.ready` once it does its work.

    :ivar exit_code: of the process, at the end of its reactor.
    """

    exit_code: int

    def startService(self) -> None:
        """Begin.  A `SystemExit` says why it cannot."""

    def stopService(self) -> object:
        """End calmly; a Deferred."""

    def leave(self) -> None:
        """Take over nothing more: the successor is ready, and is given what comes now."""

    def reload(self, config: object) -> None:
        """Take up a configuration (SIGHUP).

        :raises TakoError: it cannot be used; then nothing has changed.
        """


@attrs.define(slots=True, eq=False)
class Child:
    """This process, as its service sees it.

    :ivar start: what the supervisor said.
    :ivar config: the configuration, with what the supervisor holds.
    """

    start: Start
    config: Config
    _send: Callable[..., object]

    def ready(self) -> None:
        """It serves."""
        self._send(ready=True)

    def outdated(self) -> None:
        """It and another process are of two releases."""
        self._send(outdated=True)

    def taken(self) -> None:
        """It has taken all that it was handed before `ChildService.leave`."""
        self._send(taken=True)


def main() -> None:
    """Run this process to its end."""
    control = socket.socket(fileno=int(sys.argv[1]))
    first = control.recv(1 << 20)
    if not first:
        sys.exit("the supervisor is gone")
    said = json.loads(first)
    if said.get("version") != VERSION:
        sys.exit(
            f"{sys.argv[2]}: the supervisor is of another release (its messages are of version"
            f" {said.get('version', 0)}, and this process's of {VERSION}): restart the whole server"
        )
    start = Start(**said)
    sys.path[:] = start.modules
    # Code of the app may ask for it.
    os.environ["TAKO_WORKER"] = f"{start.number}/{start.count}"
    import_module(start.reactor).install()
    sys.exit(_run(control, start))


def _run(control: socket.socket, start: Start) -> int:
    from twisted.logger import Logger

    from takotwist.errors import ConfigError, TakoError
    from takotwist.server.log import start_logging
    from takotwist.server.options import Options
    from takotwist.server.process import installed_reactor, mind_signals, use_monotonic_time
    from takotwist.server.supervisor.kinds import holding
    from takotwist.server.supervisor.message_channel import MessageChannel

    reactor = installed_reactor()
    log = Logger(namespace="takotwist.server.supervisor.child")
    options = Options()
    options.update(start.flags)
    options.process = start.name
    try:
        config = holding(options.config(), start.held)
    except ConfigError as bad:
        sys.stderr.write(f"{start.name}: {bad}\n")
        return 1
    flush = start_logging(options.log())
    module, _, function = start.entry.partition(":")

    def received(message: Mapping[str, object]) -> None:
        if "leave" in message:
            service.leave()
        elif "stop" in message:
            stop("the supervisor")
        elif "reload" in message:
            channel.send(reloaded=reload())

    def reload() -> str | None:
        """Why not, or `None`."""
        try:
            service.reload(options.config_again())
        except TakoError as wrong:
            log.error("not reloaded: {wrong}", wrong=str(wrong))
            return str(wrong)
        except Exception as wrong:
            log.failure("reloading failed")
            return type(wrong).__name__
        return None

    channel = MessageChannel(reactor, control, received, lambda: stop("no supervisor"))
    child = Child(start, config, channel.send)
    use_monotonic_time(reactor)
    try:
        service: ChildService = getattr(import_module(module), function)(child, reactor)
    except TakoError as wrong:
        sys.stderr.write(f"{start.name}: {wrong}\n")
        return 1
    stop = mind_signals(reactor, reload, stopping=start.serves)
    channel.start()
    service.startService()
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.run()
    flush()
    return service.exit_code


if __name__ == "__main__":
    main()
