"""Whatever members do, however often the server restarts: all after the cursor, once, in order."""

from __future__ import annotations

from typing import Any

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.live import Broadcast, BroadcastChannel, Replay, function
from takotwist.server.config import Config
from takotwist.server.config.limits import Live
from takotwist.testing.world import World
from tests.live.page import ClientEnd, Page

REPLAY = Replay(window=3600, max_messages=100_000)
CONFIG = Config(live=Live(replay_bytes=2048, replay_bytes_binary=2048, buffer_limit=1024))


@function
async def on_join(after: str) -> BroadcastChannel[Any]:
    return BroadcastChannel(key="k", replay=REPLAY, after=after)


MOVE = st.one_of(
    st.tuples(st.just("publish"), st.lists(st.tuples(st.booleans(), st.integers(1, 600)))),
    st.tuples(st.just("join"), st.integers(0, 1000), st.sampled_from(["text", "binary", "both"])),
    st.tuples(st.just("reads"), st.booleans()),
    st.sampled_from([("cut",), ("connect",), ("pump",), ("restart",), ("wait",)]),
)


@attrs.define(eq=False)
class Member:
    """What one member should hear.

    :ivar begun: how many publications there were before the one it begins with.
    :ivar end: the page's end of it; `None` after a restart.
    """

    begun: int
    kinds: tuple[str, ...]
    end: ClientEnd


class DurablePropertyTests(SynchronousTestCase):
    """Members of one durable key against a list."""

    @settings(max_examples=60)
    @given(st.lists(MOVE, max_size=25))
    def test_once_and_in_order(self, moves: list[tuple[Any, ...]]) -> None:
        """Each hears all of its kinds that came after its cursor, and `seq` has no gap."""
        world = World(functions=[on_join], config=CONFIG)
        page = self._page(world)
        said: list[Any] = []
        receipts: list[Any] = []
        members: list[Member] = []
        start = str(world.parts.log.head)
        for move in moves:
            if move[0] == "publish":
                for binary, size in move[1]:
                    data: Any = b"%d:" % len(said) + b"x" * size
                    if not binary:
                        data = data.decode()
                    publish = Broadcast.publish_binary if binary else Broadcast.publish
                    said.append(data)
                    receipts.append(publish("k", data, replay=REPLAY))
            elif move[0] == "join":
                begun = move[1] % (len(said) + 1)
                cursor = receipts[begun - 1].result().cursor if begun else start
                kinds = ("text", "binary") if move[2] == "both" else (move[2],)
                end = page.get("onJoin", cursor)
                for kind in kinds:
                    end.subscribe(kind, ack=True)
                members.append(Member(begun, kinds, end))
            elif move[0] == "reads":
                for one in members:
                    one.end.reads = move[1]
            elif move[0] == "cut":
                page.cut()
            elif move[0] == "connect":
                page.connect()
            elif move[0] == "restart":
                log, now = world.parts.log, world.clock.seconds()
                self._check(members, said, complete=False)
                members.clear()
                world.live.sessions.close()
                world = World(functions=[on_join], config=CONFIG, log=log)
                world.clock.rightNow = now
                page = self._page(world)
            elif move[0] == "wait":
                page.advance(1)
            else:
                page.pump()
            self._check(members, said, complete=False)
        for one in members:
            one.end.reads = True
            one.end.read()
        page.connect()
        page.advance(30)
        self._check(members, said, complete=True)
        infos = [one.result() for one in receipts]
        self.assertEqual([one.seq for one in infos], list(range(1, len(said) + 1)))
        self.assertLessEqual(len({one.epoch for one in infos}), 1)

    def _page(self, world: World) -> Page:
        page = Page(world)
        page.bounds = attrs.evolve(page.bounds, window_messages=6, window_bytes=1500)
        page.connect()
        return page

    def _check(self, members: list[Member], said: list[Any], *, complete: bool) -> None:
        for one in members:
            expected = [
                (number, data)
                for number, data in enumerate(said[one.begun :], one.begun + 1)
                if ("binary" if isinstance(data, bytes) else "text") in one.kinds
            ]
            heard = list(zip([info.seq for info in one.end.infos], one.end.heard, strict=True))
            self.assertEqual(one.end.ended, [])
            if complete:
                self.assertEqual(heard, expected)
            else:
                self.assertEqual(heard, expected[: len(heard)])
