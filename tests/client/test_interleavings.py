"""Any order of messages, cuts, repeats and closes, against a model of a server."""

from __future__ import annotations

import itertools
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.client.events import Message, Reset
from takotwist.client.machine.machine import Connect, Deliver, Drop, Send, Settle
from takotwist.client.machine.outcome import of_status
from takotwist.client.machine.policy import Policy
from takotwist.client.machine.subscription import SubscriptionMachine

#: What may happen.  ``repeat`` has the server send again what it sent, from anywhere.
EVENTS = st.lists(
    st.one_of(
        st.sampled_from(["store", "flow", "cut", "end", "expire", "wait", "publish"]),
        st.tuples(st.just("repeat"), st.integers(0, 20)),
        st.tuples(st.just("forget"), st.integers(0, 5)),
    ),
    max_size=60,
)


class ModelServer:
    """A log, and at most one connection that has been sent some of it.

    :ivar window: index of the oldest message that is still kept.
    """

    def __init__(self, transport: str, plain: bool = False) -> None:
        self.log: list[dict[str, Any]] = []
        self.keys: dict[str, str] = {}
        self.window = 0
        self.transport, self.plain = transport, plain
        self.now = 0.0
        counter = itertools.count()
        self.machine = SubscriptionMachine.starting_at(
            "0",
            {},
            policy=Policy(),
            random=lambda: 0.5,
            make_key=lambda: f"key{next(counter)}",
            transport="sse" if transport == "sse" else "websocket",
        )
        self.connection: Connect | None = None
        self.accepted = False
        self.sent = 0
        self.acks: list[dict[str, Any]] = []
        self.got: list[Message | Reset] = []
        self.settled: list[str | None] = []
        self.published = 0
        self.machine.started(self.now)
        self.carry_out()

    def carry_out(self) -> None:
        """Do what the machine wants."""
        for intent in self.machine.intents():
            match intent:
                case Connect():
                    self.connection, self.accepted = intent, False
                case Drop():
                    self.connection = None
                case Deliver(event, _):
                    self.got.append(event)
                case Settle(_, stored, error):
                    assert error is None
                    self.settled.append(stored)
                case Send(text):
                    self.received(json.loads(text))

    def received(self, frame: dict[str, Any]) -> None:
        """A frame came."""
        if "op" in frame:
            return
        key = frame.get("idempotencyKey")
        if key is None or key not in self.keys:
            stored = self.store(frame["data"])
            if key is not None:
                self.keys[key] = stored
        if key is not None:
            self.acks.append({"op": "ack", "ref": frame["ref"], "id": self.keys[key]})

    def store(self, data: Any = None) -> str:
        """Append a message."""
        new = str(100 + len(self.log))
        self.log.append({"id": new, "channel": "c", "type": "t", "data": data})
        return new

    def accept(self) -> None:
        """Let the waiting connection in, at its cursor or with a reset."""
        assert self.connection is not None
        cursor, head = self.connection.cursor, str(99 + len(self.log))
        after = len(self.log) if cursor is None else max(0, int(cursor) - 99)
        too_old = cursor not in (None, "0") and after < self.window
        self.accepted, self.acks = True, []
        self.sent = len(self.log) if too_old else max(after, self.window)
        if self.transport == "sse":
            ok = of_status(200, content_type="text/event-stream")
            self.machine.answered(ok, self.now)
            if too_old:
                said = json.dumps({"reason": "replay-too-old", "cursor": head})
                self.give(f"event: tako.reset\ndata: {said}\n\n")
            self.give(f"id: {head if cursor is None or too_old else cursor}\n\n")
        elif self.plain and too_old:
            self.machine.closed_by_peer(4410, "replay-too-old", self.now)
            self.connection = None
        else:
            self.machine.opened(None if self.plain else "tako.v1", None, self.now)
            if not self.plain:
                at = head if cursor is None or too_old else cursor
                self.give(json.dumps({"op": "open", "cursor": at}))
                if too_old:
                    reset = {"op": "reset", "reason": "replay-too-old", "cursor": head}
                    self.give(json.dumps(reset))
        self.carry_out()

    def give(self, text: str) -> None:
        """Send what is one frame or a piece of the stream."""
        if self.transport == "sse":
            self.machine.bytes_received(text.encode(), self.now)
        else:
            self.machine.text_received(text, self.now)
        self.carry_out()

    def give_message(self, index: int) -> None:
        """Send one message of the log."""
        text = json.dumps(self.log[index])
        if self.transport == "sse":
            text = f"id: {self.log[index]['id']}\ndata: {text}\n\n"
        self.give(text)

    def happen(self, event: Any) -> None:
        """One of `EVENTS`."""
        name, number = event if isinstance(event, tuple) else (event, 0)
        if name == "store":
            self.store()
        elif name == "forget":
            self.window = max(self.window, len(self.log) - number)
        elif name == "publish" and self.transport != "sse":
            self.published += 1
            self.machine.publish("t", f"published {self.published}", self.now)
        elif name == "wait":
            self.now += 1_000
            self.machine.woke(self.now)
        elif self.connection is not None and not self.accepted:
            self.accept() if name != "cut" else self.lose(1006)
        elif self.connection is not None:
            if name == "flow":
                self.flow()
            elif name == "repeat":
                for index in range(max(0, self.sent - number), self.sent):
                    self.give_message(index)
            elif name == "cut":
                self.lose(1006)
            elif name in ("end", "expire"):
                self.lose(1000)
        self.carry_out()

    def flow(self) -> None:
        """Send all that was not sent on this connection."""
        for ack in self.acks:
            self.give(json.dumps(ack))
        self.acks = []
        while self.sent < len(self.log) and self.connection is not None:
            self.sent += 1
            self.give_message(self.sent - 1)

    def lose(self, code: int) -> None:
        """The connection is over."""
        self.connection = None
        if self.transport == "sse":
            self.machine.lost(self.now) if code == 1006 else self.machine.ended(self.now)
        else:
            self.machine.closed_by_peer(code, "connection expired", self.now)

    def settle(self) -> None:
        """Give everybody time: connect, and let all flow."""
        for _ in range(80):
            self.happen("wait" if self.connection is None else "flow")
        self.happen("flow")


class InterleavingTests(SynchronousTestCase):
    """Once, in order, and no gap but where a reset says so."""

    def _check(self, server: ModelServer, events: list[Any]) -> None:
        for event in events:
            server.happen(event)
        server.settle()
        ids = [int(event.id) for event in server.got if isinstance(event, Message)]
        self.assertEqual(ids, sorted(set(ids)))
        # Between two resets, and before the first, the log without a hole.
        whole = [int(message["id"]) for message in server.log]
        runs: list[list[int]] = [[]]
        for event in server.got:
            if isinstance(event, Reset):
                runs.append([])
            else:
                runs[-1].append(int(event.id))
        for run in runs:
            if run:
                first = whole.index(run[0])
                self.assertEqual(run, whole[first : first + len(run)])
        if whole and runs[-1]:
            self.assertEqual(runs[-1][-1], whole[-1])

    @settings(max_examples=300)
    @given(EVENTS)
    def test_sse(self, events: list[Any]) -> None:
        """Over SSE."""
        self._check(ModelServer("sse"), events)

    @settings(max_examples=300)
    @given(EVENTS)
    def test_explicit(self, events: list[Any]) -> None:
        """Over an explicit WebSocket; each publish is stored once and acknowledged."""
        server = ModelServer("websocket")
        self._check(server, events)
        published = [one["data"] for one in server.log if one["data"] is not None]
        self.assertEqual(len(published), len(server.settled))
        self.assertEqual(len(published), server.published)
        self.assertEqual(
            [int(one or 0) for one in server.settled],
            sorted(int(one or 0) for one in server.settled),
        )

    @settings(max_examples=300)
    @given(EVENTS)
    def test_plain(self, events: list[Any]) -> None:
        """Over a plain WebSocket."""
        self._check(ModelServer("websocket", plain=True), events)
