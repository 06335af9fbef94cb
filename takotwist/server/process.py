"""From options to a server that minds the signals of its process.

What `twistd tako` and `tako serve` have in common.  Rule: a server that cannot
start ends with one sentence that says why, and no traceback.
"""

from __future__ import annotations

from typing import Any

from takotwist.errors import TakoError
from takotwist.server.garbage import settle_garbage
from takotwist.server.monotonic import use_monotonic_time
from takotwist.server.options import Options
from takotwist.server.service import TakoService
from takotwist.server.signals import reload_on_hangup, stop_once
from takotwist.server.tuning import show_attribute_names

__all__ = ["Options", "makeService", "make_service"]


def makeService(options: Options) -> TakoService:
    """The service of ``twistd tako``, by the names that a plugin has to have.

    :raises SystemExit: it cannot start; says why and what to do.
    """
    from twisted.internet import reactor

    return make_service(options, reactor)


def make_service(options: Options, reactor: Any) -> TakoService:
    """The service of these options, which also minds the signals of the process.

    :raises SystemExit: it cannot start; says why and what to do.
    """
    use_monotonic_time(reactor)
    try:
        service = TakoService(options.config(), reactor)
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

    reload_on_hangup(reactor, reload)
    stop_once(reactor)
    show_attribute_names()
    settle_garbage()
    return service
