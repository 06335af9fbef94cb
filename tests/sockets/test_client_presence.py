"""Who is here, by the Python clients against a real server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from takotwist.client import asyncio as on_asyncio
from takotwist.client import sync
from takotwist.client import twisted as on_twisted
from takotwist.client.presence import Member, Roster
from takotwist.errors import BodyInvalid, TransportNotEnabled, VerifyRejected
from tests.sockets.server_process import FAST, ServerProcess, wait_until

CHANNELS = """
import msgspec
from takotwist import Grant, Presence, define_channel

class Doing(msgspec.Struct):
    x: int

room = define_channel("room", presence=Presence(state=Doing, grace=60))

@room.on("msg")
def said(data, context):
    return data

@room.verify
def verify(request):
    name = request.header.value
    if name == "nosy" and request.operation == "presence":
        return False
    return Grant(subject=name, info={"name": name.title()})
"""

#: Seconds within which anything happens, on a busy machine.
SOON = 60

T = TypeVar("T")


class Seen:
    """What handlers were called with."""

    def __init__(self, presence: Any) -> None:
        self.events: list[tuple[str, str]] = []
        for kind in ("join", "leave", "update"):
            getattr(presence, f"on_{kind}")(self._noting(kind))

    def of(self, subject: str) -> list[str]:
        """Who came and left; one's own join may come before or after the list is whole."""
        return [kind for kind, who in self.events if who == subject and kind != "update"]

    def _noting(self, kind: str) -> Callable[[Member], None]:
        return lambda member: self.events.append((kind, member.subject))


def names(presence: Any) -> list[str]:
    return [member.subject for member in presence.members]


class PresenceTests(TestCase):
    """A token is a name."""

    timeout = 180

    def setUp(self) -> None:
        self.server = ServerProcess(FAST, {"room.py": CHANNELS})
        self.addCleanup(self.server.close)
        self.start()

    def start(self) -> None:
        self.server.start(ready=False)
        self.server.wait_ready(SOON)

    async def story(
        self,
        ada: Any,
        bob: Any,
        until: Callable[[Callable[[], bool]], Awaitable[object]],
        restart: Callable[[], Awaitable[object]],
    ) -> None:
        """The same on every loop.

        :param ada: and `bob`: connections of theirs.
        """
        hers = await ada.subscribe("room", credentials="ada").__aenter__()
        people = await hers.presence.whole()
        self.assertIs(hers.presence, people)
        await until(lambda: names(people) == ["ada"])
        self.assertEqual(people.me.info, {"name": "Ada"})
        seen = Seen(people)
        his = await bob.subscribe("room", credentials="bob").__aenter__()
        await until(lambda: names(people) == ["ada", "bob"])
        await his.presence.whole()
        await his.presence.update({"x": 1})
        await his.presence.update(lambda last: {"x": last["x"] + 1})
        await until(lambda: people.members[1].state == {"x": 2})
        with self.assertRaises(BodyInvalid) as bad:
            await people.update({"x": "left"})
        self.assertIn("state.x", str(bad.exception))
        await his.publish("msg", "hi")
        self.assertEqual((await hers.__aiter__().__anext__()).data, "hi")
        await restart()
        # It is said again by who comes back, and nobody has been away.
        await his.publish("msg", "again")
        await until(lambda: names(people) == ["ada", "bob"] and people.members[1].state is not None)
        await his.close()
        await until(lambda: names(people) == ["ada"])
        self.assertEqual(seen.of("bob"), ["join", "leave"])
        nosy = ada.subscribe("room", params={}, credentials="nosy", presence=True)
        self.assertRaises(TransportNotEnabled, lambda: nosy.presence)

    def test_asyncio(self) -> None:
        """On an asyncio loop."""

        async def until(true: Callable[[], bool]) -> None:
            async with asyncio.timeout(SOON):
                while not true():
                    await asyncio.sleep(0.02)

        async def restart() -> None:
            await asyncio.to_thread(self.restart)

        async def main() -> None:
            url = self.server.url
            async with on_asyncio.connect(url) as ada, on_asyncio.connect(url) as bob:
                await self.story(ada, bob, until, restart)

        asyncio.run(main())

    def test_twisted(self) -> Deferred[None]:
        """On a reactor."""

        async def until(true: Callable[[], bool]) -> None:
            end = reactor.seconds() + SOON  # type: ignore[attr-defined]
            while not true():
                self.assertLess(reactor.seconds(), end)  # type: ignore[attr-defined]
                await deferLater(reactor, 0.02, lambda: None)  # type: ignore[arg-type]

        async def no_restart() -> None:
            """It is the same machine, which has been through one on the other loop."""

        async def main() -> None:
            ada, bob = (on_twisted.connect(reactor, self.server.url) for _ in range(2))
            async with ada, bob:
                await self.story(ada, bob, until, no_restart)

        return Deferred.fromCoroutine(main())

    def restart(self) -> None:
        self.server.kill()
        self.start()

    def test_script(self) -> None:
        """In a script, and over WebSocket and SSE as events."""
        url = self.server.url
        with sync.connect(url) as ada, sync.connect(url) as bob:
            hers = ada.subscribe("room", credentials="ada")
            people = hers.presence.whole(SOON)
            seen = Seen(people)
            threads: list[str] = []
            people.on_change(lambda: threads.append(threading.current_thread().name))
            his = bob.subscribe("room", credentials="bob")
            his.presence.update({"x": 3}, timeout=SOON)
            wait_until(lambda: names(people) == ["ada", "bob"], "both are here", SOON)
            wait_until(lambda: people.members[1].state == {"x": 3}, "the state came", SOON)
            self.assertEqual((people.me.subject, people.guests, people.synced), ("ada", 0, True))  # type: ignore[union-attr]
            self.assertRaises(BodyInvalid, people.update, {"x": []}, SOON)
            for transport in ("websocket", "sse"):
                roster = Roster()
                following = sync.subscribe(
                    url, "room", credentials="cy", presence=True, transport=transport
                )
                with following as events:
                    while not roster.synced:
                        roster.take(events.next(SOON))
                self.assertEqual(sorted(roster.members), ["ada", "bob"], transport)
            his.close()
            wait_until(lambda: names(people) == ["ada"], "he has left", SOON)
            self.assertEqual(seen.of("bob"), ["join", "leave"])
            self.assertEqual(set(threads), {"takotwist-client"})
        alone = sync.subscribe(url, "room", credentials="ada")
        with alone:
            self.assertRaises(TransportNotEnabled, lambda: alone.presence)
        with sync.connect(url) as server:
            nosy = server.subscribe("room", credentials="nosy")
            self.assertRaises(VerifyRejected, nosy.presence.whole, SOON)
