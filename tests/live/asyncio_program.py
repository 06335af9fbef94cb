"""A server in memory under the asyncio reactor; prints what its functions came to.

A program of its own, because a process has one reactor.  See `test_asyncio.py`.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from twisted.internet import asyncioreactor

asyncioreactor.install(asyncio.new_event_loop())

from twisted.internet import reactor  # noqa: E402
from twisted.internet.defer import succeed  # noqa: E402

from takotwist.live import (  # noqa: E402
    Broadcast,
    Channel,
    ChannelClosedError,
    Replay,
    function,
)
from takotwist.testing.world import World  # noqa: E402
from takotwist.trampoline import drive  # noqa: E402
from tests.live.page import Page  # noqa: E402

said: dict[str, Any] = {}
channels: list[Channel[Any, Any]] = []


@function
async def on_talk() -> Any:
    channel: Channel[Any, Any] = Channel()
    channels.append(channel)

    async def heard(text: str) -> str:
        # Of asyncio, an outcome that is not there yet, and a Deferred, in turn.
        await asyncio.sleep(0)
        answer = await asyncio.wait_for(_ask(channel, text), 60)
        return f"{answer} {await succeed('deferred')}"

    channel.listen(heard)
    await asyncio.sleep(0)
    receipt = await Broadcast.publish("key", 1, replay=Replay())
    said["published"] = receipt.seq
    return channel.client


async def _ask(channel: Channel[Any, Any], text: str) -> Any:
    return await channel.send(text, ack=True)


async def main() -> None:
    world = World(functions=[on_talk])
    page = Page(world)
    page.connect()
    peer = world.request(
        "POST",
        "/_tako/functions/onTalk",
        {"Content-Type": "application/json", "Tako-Session": page.secret},
        {},
    )
    await settle(page)
    [live] = peer.json["live"]
    end = page.adopt(live["id"])
    end.answers = lambda data: data.upper()
    await settle(page)
    asked = end.send("question", ack=True)
    await settle(page)
    said["answer"] = asked.answer
    [channel] = channels
    end.answers = None
    waiting = asyncio.ensure_future(_ask(channel, "never"))
    await settle(page)
    closing = channel.close(1)
    await settle(page)
    page.advance(2)
    await settle(page)
    said["closed"] = await closing
    try:
        await waiting
    except ChannelClosedError:
        said["pending"] = "closed"


async def settle(page: Page) -> None:
    for _ in range(20):
        await asyncio.sleep(0)
        page.pump()


def begin() -> None:
    running = drive(main())
    running.addErrback(lambda failure: said.update(failed=failure.getTraceback()))
    running.addCallback(lambda _: reactor.stop())  # type: ignore[attr-defined]


if __name__ == "__main__":
    # Not `callWhenRunning`: that comes before the loop does.
    reactor.callLater(0, begin)  # type: ignore[attr-defined]
    reactor.run()  # type: ignore[attr-defined]
    print(json.dumps(said))
