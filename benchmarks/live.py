"""Cost of live channels: memory of each, and processor time of each message.

    python benchmarks/live.py            # 1,000 channels

One server in memory, one page on one connection, over the production parser and composition;
sockets and the network are left out, and so is the page's own share.
"""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from typing import Any

from takotwist.live import Channel, function
from takotwist.server.config import Config
from takotwist.server.config.limits import Limits, Live
from takotwist.testing.world import World
from tests.live.page import Page

channels: list[Channel[Any, Any]] = []


@function
async def on_open() -> Any:
    channel: Channel[Any, Any] = Channel()
    channel.listen(lambda data: None)
    channels.append(channel)
    return channel.client


def main(count: int, rounds: int = 20) -> None:
    """Open `count` channels on one page, then send to each of them in turn."""
    config = Config(
        live=Live(call_rate=0),
        limits=Limits(connect_rate=0, max_connections_per_address=0, publish_rate=0),
    )
    world = World(config=config, functions=[on_open])
    page = Page(world)
    page.connect()
    page.pump()
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.take_snapshot()
    ends = [page.get("onOpen") for _ in range(count)]
    page.pump()
    # What the requests of the calls have left goes with their connections.
    page.advance(100)
    assert not any(channel.is_closed for channel in channels)
    gc.collect()
    after = tracemalloc.take_snapshot()
    tracemalloc.stop()
    ours = [tracemalloc.Filter(True, "*/takotwist/live/*"), tracemalloc.Filter(True, "*/core/*")]
    grown = sum(
        one.size_diff
        for one in after.filter_traces(ours).compare_to(before.filter_traces(ours), "filename")
    )
    del before, after
    # Both ends have a machine of the same size, in this process.
    assert len(ends) == count
    print(f"{count} channels: at most {grown / count / 1024:.1f} KiB each, both ends together")

    message = {"text": "x" * 180}
    spent = 0.0
    for _ in range(rounds):
        started = time.process_time()
        outcomes = [channel.send(message) for channel in channels]
        spent += time.process_time() - started
        assert all(one.done for one in outcomes)
    page.pump()
    assert all(len(end.heard) == rounds for end in ends)
    print(f"server sends: {spent / rounds / count * 1e6:.1f} us a message of 200 bytes")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
