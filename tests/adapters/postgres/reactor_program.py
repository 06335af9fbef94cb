"""A log on a real engine under the reactor that is named; prints what was reported and read.

A program of its own, because a process has one reactor.  See `test_reactors.py`.
"""

from __future__ import annotations

import asyncio
import sys

from twisted.internet import asyncioreactor, epollreactor

kind, url, schema = sys.argv[1:]
if kind == "asyncio":
    asyncioreactor.install(asyncio.new_event_loop())
else:
    epollreactor.install()

from twisted.internet.defer import Deferred, ensureDeferred  # noqa: E402

from takotwist.adapters.postgres.log import PostgresReplayLog  # noqa: E402
from tests.contracts.replay_log import LOBBY, Listener, entry  # noqa: E402

#: Seconds for everything.
PATIENCE = 240


async def talk(reactor: object) -> None:
    one, two = (
        PostgresReplayLog(url, node=name, reactor=reactor, random=lambda: 0.5, schema=schema)
        for name in ("one", "two")
    )
    listener = Listener(two)
    await one.start()
    await two.start(listener)
    await two.follow(LOBBY)
    # More than a socket takes at once, in both directions.
    texts = ["a", "b" * 3_000_000, "c"]
    for text in texts:
        await one.append([entry(LOBBY, text)], 0)
    while two.head < one.head:
        pause: Deferred[None] = Deferred()
        reactor.callLater(0.01, pause.callback, None)  # type: ignore[attr-defined]
        await pause
    page = await two.read(LOBBY, 0, 10, 2**30)
    assert [message.data.decode()[1:-1] for message in page.messages] == texts
    assert listener.texts == {LOBBY.key: texts}
    await one.stop()
    await two.stop()


def begin(reactor: object) -> None:
    running = ensureDeferred(talk(reactor))
    running.addTimeout(PATIENCE, reactor)
    running.addCallbacks(
        lambda _: print(type(reactor).__name__), lambda failure: print(failure.getTraceback())
    )
    running.addBoth(lambda _: reactor.stop())  # type: ignore[attr-defined]


if __name__ == "__main__":
    from twisted.internet import reactor

    # Not `callWhenRunning`: with asyncio that comes before the loop does.
    reactor.callLater(0, begin, reactor)  # type: ignore[attr-defined]
    reactor.run()  # type: ignore[attr-defined]
