"""A progress bar over a long task: the page watches, and may cancel by closing."""

from typing import Any, TypedDict

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from takotwist.live import Channel, ClientEnd, function


class Progress(TypedDict, total=False):
    done: int
    of: int
    #: At the end, and nothing else then.
    file: str


class Export(TypedDict):
    progress: ClientEnd[Any, Progress]


#: Tests put a clock of theirs here.
clock: IReactorTime | None = None


async def work(step: int) -> None:
    """One step of something slow."""
    from twisted.internet import reactor

    await deferLater(clock or reactor, 0.5)  # type: ignore[arg-type]


@function
async def on_export(rows: int) -> Export:
    channel = Channel[Any, Progress]()

    async def export() -> None:
        for done in range(rows):
            await work(done)
            channel.send({"done": done + 1, "of": rows})
        channel.send({"file": f"/exports/{rows}.csv"})
        await channel.close()

    def ended(error: Exception | None) -> None:
        running.cancel()

    running = Deferred.fromCoroutine(export())
    running.addErrback(lambda failure: failure.trap(CancelledError))
    channel.on_close(ended)
    return {"progress": channel.client}
