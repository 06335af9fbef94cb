"""What is no message ends a subscription where the server sent it, and is weather before."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist.client.errors import ProtocolBroken
from takotwist.client.machine.link import State
from takotwist.client.machine.machine import Connect, Drop, Stop
from takotwist.client.machine.mux import MuxMachine
from takotwist.client.machine.policy import Policy
from takotwist.client.options import SubscriptionOptions

OPEN = '{"op":"open","cursor":"1","lifecycle":{"keepaliveIntervalMs":25000}}'


def always() -> float:
    return 0.5


class BrokenTests(SynchronousTestCase):
    def _taken(self, machine: Any) -> list[type]:
        return [type(intent) for intent in machine.intents()]

    def test_own_connection(self) -> None:
        """Before `open` it is tried again and said; after it, it is over."""
        options = SubscriptionOptions("chat", {}, None, None, "reset", "websocket")
        machine = options.machine(Policy(), always)
        machine.started(0)
        machine.opened("tako.v1", None, 1)
        machine.intents()
        machine.text_received("<html>", 2)
        self.assertEqual(self._taken(machine), [Drop])
        self.assertIs(machine.link.state, State.WAITING)
        self.assertIn("no JSON", machine.link.trouble or "")
        machine.woke(machine.wake_at or 0)
        self.assertEqual(self._taken(machine), [Connect])
        machine.opened("tako.v1", None, 1000)
        machine.text_received(OPEN, 1001)
        machine.intents()
        machine.text_received("<html>", 1002)
        *_, last = machine.intents()
        self.assertIsInstance(last, Stop)
        self.assertIsInstance(last.error, ProtocolBroken)  # type: ignore[union-attr]

    def test_shared_connection(self) -> None:
        """Who upgrades without our subprotocol is not the server."""
        machine = MuxMachine.idle(policy=Policy(), random=always, make_key=str)
        machine.subscribed("chat", {}, 0)
        machine.intents()
        machine.opened(None, 1)
        self.assertEqual(self._taken(machine), [Drop])
        self.assertIs(machine.link.state, State.WAITING)
        self.assertIn("tako.v1", machine.trouble(0) or "")
