"""The start of the server from options: what `twistd tako` and `tako serve` have in common.

Rule: a server that cannot start ends with one sentence that says why, and no traceback.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from takotwist.errors import TakoError
from takotwist.interfaces import IReactor
from takotwist.server.options import Options
from takotwist.server.process import installed_reactor, mind_signals, use_monotonic_time

if TYPE_CHECKING:
    from takotwist.server.config import Config
    from takotwist.server.service import TakoService
    from takotwist.server.supervisor.supervisor import Supervisor

__all__ = ["Options", "makeService", "make_service"]


def makeService(options: Options) -> TakoService | Supervisor:
    """The service of ``twistd tako``, by the names that a plugin has to have.

    :raises SystemExit: it cannot start; says why and what to do.
    """
    reactor = installed_reactor()
    service = make_service(options, reactor)

    def ended() -> None:
        if service.exit_code:
            # `twistd` ends with 0 after a calm stop, and a service manager would take it for one.
            atexit.register(_exit, service.exit_code)

    reactor.addSystemEventTrigger("after", "shutdown", ended)
    return service


def _exit(code: int) -> None:
    """End with this code, when all else has been done."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def make_service(
    options: Options,
    reactor: IReactor,
    make: Callable[[Config, IReactor], TakoService] | None = None,
) -> TakoService | Supervisor:
    """The service of these options, which also minds the signals of the process.

    :param make: makes another service than a plain one.
    :raises SystemExit: it cannot start; says why and what to do.
    """
    use_monotonic_time(reactor)
    try:
        service = _service(options, reactor) if make is None else make(options.config(), reactor)
    except TakoError as wrong:
        raise SystemExit(f"takotwist: {wrong}") from None

    def reload() -> None:
        try:
            config = options.config_again()
            service.reload(config)
        except TakoError as wrong:
            service.log.error("not reloaded: {wrong}", wrong=str(wrong))
        except Exception:
            service.log.failure("reloading failed")

    mind_signals(reactor, reload)
    return service


def _service(options: Options, reactor: IReactor) -> TakoService | Supervisor:
    """The server itself; or, where several workers are wanted, their supervisor.

    Each is imported only where it runs.
    """
    config = options.config()
    if config.server.workers != 1:
        from takotwist.server.supervisor.kinds import count_of
        from takotwist.server.supervisor.supervisor import supervise

        if count_of(config) > 1:
            return supervise(config, options, reactor)
    from takotwist.server.service import TakoService

    notify = None
    if os.environ.get("NOTIFY_SOCKET"):
        from takotwist.server.notify import Notify

        notify = Notify.of(os.environ)
    return TakoService(config, reactor, notify=notify)
