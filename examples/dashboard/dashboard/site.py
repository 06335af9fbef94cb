"""The page, and the loop that publishes: in the server's own process, no other is needed."""

from __future__ import annotations

from pathlib import Path

from channels.machine import Sample, machine
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from dashboard.proc import Machine
from takotwist.errors import TakoError
from takotwist.streams.files import static_dir

log = Logger()


def site():
    """Called once, when the server is put together."""
    # Not at the top: who only checks the configuration must not choose a reactor.
    from twisted.internet import reactor

    here = Machine()

    async def publish():
        try:
            await machine().publish("sample", Sample(**here.sample()))
        except TakoError as refused:
            # A full disk, say.  The next sample is due in a second.
            log.warn("a sample was not stored: {refused}", refused=str(refused))

    loop = LoopingCall(lambda: Deferred.fromCoroutine(publish()))
    loop.clock = reactor
    reactor.callWhenRunning(loop.start, 1.0, now=False)
    reactor.addSystemEventTrigger("before", "shutdown", lambda: loop.running and loop.stop())
    return static_dir(Path(__file__).parent.parent / "pages")
