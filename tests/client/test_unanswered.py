"""Nothing that was asked stays pending for ever."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from takotwist.client import asyncio as on_asyncio
from takotwist.client import twisted as on_twisted
from takotwist.client.errors import NoAnswer, SubscriptionClosed
from takotwist.client.machine.link import State
from takotwist.client.machine.machine import AskCredentials, Connect, Drop, Send, Settle
from takotwist.client.machine.mux import MuxMachine
from takotwist.client.machine.policy import Policy
from takotwist.client.options import SubscriptionOptions
from takotwist.errors import BodyInvalid, ChannelUnknown, CursorInvalid, ParamsInvalid

OPEN = {"op": "open", "cursor": "1", "lifecycle": {"keepaliveIntervalMs": 25000}}
POLICY = Policy(answer_ms=10_000, credentials_ms=2_000)


def always() -> float:
    return 0.5


class MachineTests(SynchronousTestCase):
    def _own(self) -> Any:
        options = SubscriptionOptions("chat", {}, None, None, "reset", "websocket")
        machine = options.machine(POLICY, always)
        machine.started(0)
        machine.opened("tako.v1", None, 0)
        machine.text_received(json.dumps(OPEN), 0)
        machine.intents()
        return machine

    def test_publish(self) -> None:
        """A publish that a server with ears for all else does not answer fails in time, with the
        key to try it again; those after it go on."""
        machine = self._own()
        number = machine.publish("msg", 1, 0, "key-1")
        later = machine.publish("msg", 2, 4_000)
        sent = [json.loads(intent.text) for intent in machine.intents()]
        self.assertEqual(machine.wake_at, 10_000)
        machine.heard(9_999)
        machine.woke(10_000)
        (settled,) = machine.intents()
        self.assertEqual(settled.number, number)
        self.assertIsInstance(settled.error, NoAnswer)
        self.assertEqual(settled.error.idempotency_key, "key-1")
        # An answer that comes after all is nobody's.
        machine.text_received(json.dumps({"op": "ack", "ref": sent[0]["ref"], "id": "7"}), 10_001)
        self.assertEqual(machine.intents(), [])
        machine.text_received(json.dumps({"op": "ack", "ref": sent[1]["ref"], "id": "8"}), 10_002)
        self.assertEqual(machine.intents(), [Settle(later, "8")])

    def test_publish_over_a_cut(self) -> None:
        """The time counts from the last sending, and not at all while there is no connection."""
        machine = self._own()
        machine.publish("msg", 1, 0)
        machine.lost(5_000)
        machine.intents()
        machine.woke(60_000)
        self.assertIsInstance(machine.intents()[0], Connect)
        machine.opened("tako.v1", None, 61_000)
        machine.text_received(json.dumps(OPEN), 61_000)
        self.assertIsInstance(machine.intents()[0], Send)
        self.assertEqual(machine.wake_at, 71_000)

    def test_subscribe(self) -> None:
        """A topic that is neither let in nor refused costs the connection, and is asked for anew
        on the next."""
        machine = MuxMachine.idle(policy=POLICY, random=always, make_key=str)
        machine.subscribed("chat", {}, 0)
        machine.opened("tako.v1", 0)
        machine.text_received(json.dumps(OPEN), 0)
        machine.intents()
        machine.heard(9_999)
        machine.woke(9_999)
        self.assertEqual(machine.intents(), [])
        machine.woke(10_000)
        self.assertEqual([type(one) for one in machine.intents()], [Drop])
        self.assertIn("no answer", machine.trouble(0) or "")

    def test_topic_whose_credentials_never_come(self) -> None:
        """It does not wait for ever either."""
        machine = MuxMachine.idle(policy=POLICY, random=always, make_key=str)
        machine.subscribed("chat", {}, 0, credentials="callable")
        machine.opened("tako.v1", 0)
        machine.text_received(json.dumps(OPEN), 0)
        self.assertIn(AskCredentials(0), machine.intents())
        machine.heard(11_999)
        machine.woke(11_999)
        self.assertIs(machine.link.state, State.OPEN)
        machine.woke(12_000)
        self.assertIs(machine.link.state, State.WAITING)

    def test_server_that_only_pings(self) -> None:
        """A connection that is never opened is given up, whatever else comes on it."""
        options = SubscriptionOptions("chat", {}, None, None, "reset", "websocket")
        machine = options.machine(POLICY, always)
        machine.started(0)
        machine.opened("tako.v1", None, 0)
        machine.intents()
        for now in range(0, 50_000, 1_000):
            machine.heard(now)
            machine.woke(now)
        self.assertEqual(machine.intents(), [])
        machine.woke(50_000)
        self.assertIsInstance(machine.intents()[0], Drop)

    def test_what_cannot_be_sent(self) -> None:
        """Is refused at once, by its place; nothing waits for it."""
        machine = self._own()
        for type, data, key in (
            ("msg", {"a": ["\ud83d"]}, None),
            ("msg", {1, 2}, None),
            ("\udc00", 1, None),
            (5, 1, None),
            ("msg", 1, "two\nlines"),
        ):
            self.assertRaises(BodyInvalid, machine.publish, type, data, 0, key)
        self.assertEqual(machine.intents(), [])
        for channel, params, cursor, error in (
            ("", {}, None, ChannelUnknown),
            ("chat", {"a": "\ud83d"}, None, ParamsInvalid),
            ("chat", {"a": [None]}, None, ParamsInvalid),
            ("chat", {}, "1\r\n", CursorInvalid),
        ):
            with self.assertRaises(error):
                SubscriptionOptions(channel, params, cursor, None, "reset")


class HangingTests(SynchronousTestCase):
    """Callables for credentials that never give any."""

    def run_main(self, main: Callable[[], Awaitable[None]]) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(120):
                await main()

        asyncio.run(bounded())

    def test_asyncio(self) -> None:
        """It is given up and asked again, the state says so, and closing does not wait for it."""
        asked = 0

        async def never() -> str:
            nonlocal asked
            asked += 1
            await asyncio.get_running_loop().create_future()
            raise AssertionError

        async def main() -> None:
            policy = Policy(credentials_ms=20, base_ms=1, cap_ms=1)
            chat = on_asyncio.subscribe(
                "http://127.0.0.1:9", "chat", credentials=never, policy=policy
            )
            chat.start()
            publishing = asyncio.create_task(chat.publish("msg", 1))
            while asked < 3:
                await asyncio.sleep(0.005)
            self.assertIn("not given within 0.02 s", chat.trouble or "")
            with self.assertRaises(NoAnswer):
                await chat.refresh_credentials()
            await chat.close()
            with self.assertRaises(SubscriptionClosed):
                await publishing
            with self.assertRaises(NoAnswer):
                await on_asyncio.history(
                    "http://127.0.0.1:9", "chat", credentials=never, timeout=0.02
                )

        self.run_main(main)

    def test_asyncio_that_will_not_be_cancelled(self) -> None:
        """Closing ends although a callable of the caller's does not let itself be cancelled."""
        self.patch(on_asyncio.driver, "CLOSE_SECONDS", 0.05)
        release: list[asyncio.Event] = []

        async def stubborn() -> str:
            release.append(asyncio.Event())
            while not release[-1].is_set():
                try:
                    await release[-1].wait()
                except asyncio.CancelledError:
                    continue
            return "late"

        async def main() -> None:
            chat = on_asyncio.subscribe("http://127.0.0.1:9", "chat", credentials=stubborn)
            chat.start()
            while not release:
                await asyncio.sleep(0.005)
            await chat.close()
            release[0].set()
            await asyncio.sleep(0.01)

        self.run_main(main)

    def test_asyncio_without_patience(self) -> None:
        """Who waits no longer for the close leaves no connections behind either."""
        made: list[Any] = []
        session_for = on_asyncio.driver.session_for

        def recorded(*args: Any) -> Any:
            made.append(session_for(*args))
            return made[-1]

        self.patch(on_asyncio.driver, "session_for", recorded)
        asked: list[asyncio.Event] = []

        async def stubborn() -> str:
            asked.append(asyncio.Event())
            while len(asked) > 1 and not asked[-1].is_set():
                try:
                    await asked[-1].wait()
                except asyncio.CancelledError:
                    continue
            return "Bearer t"

        async def main() -> None:
            policy = Policy(base_ms=1, cap_ms=1)
            chat = on_asyncio.subscribe(
                "http://127.0.0.1:9", "chat", credentials=stubborn, policy=policy
            )
            chat.start()
            # The first connection is refused.
            while len(asked) < 2:
                await asyncio.sleep(0.005)
            with self.assertRaises(TimeoutError):
                await asyncio.wait_for(chat.close(), 0.01)
            asked[-1].set()
            await asyncio.sleep(0.01)
            self.assertTrue(made[0].closed)

        self.run_main(main)

    def test_twisted(self) -> None:
        """The same on a reactor."""
        clock: Any = Clock()
        policy = Policy(credentials_ms=2_000, base_ms=1, cap_ms=1)
        asked: list[Deferred[str]] = []

        def never() -> Deferred[str]:
            asked.append(Deferred())
            return asked[-1]

        endpoint: Any = object()
        chat = on_twisted.subscribe(
            clock, "http://x", "chat", credentials=never, policy=policy, endpoint=endpoint
        )
        chat.start()
        publishing = chat.publish("msg", 1)
        clock.pump([1.0] * 7)
        self.assertGreater(len(asked), 2)
        self.assertIn("not given within 2 s", chat.trouble or "")
        closing = Deferred.fromCoroutine(chat.close())
        self.successResultOf(closing)
        self.failureResultOf(publishing, SubscriptionClosed)
        self.assertEqual(clock.getDelayedCalls(), [])
        page = Deferred.fromCoroutine(
            on_twisted.history(
                clock, "http://x", "chat", credentials=never, timeout=3, endpoint=endpoint
            )
        )
        clock.advance(3)
        self.failureResultOf(page, NoAnswer)
        self.assertEqual(clock.getDelayedCalls(), [])
