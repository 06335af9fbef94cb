"""The shared vectors, run on a machine as an I/O adapter would run it."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import attrs

from takotwist.client.errors import Gone
from takotwist.client.events import Message, Reset
from takotwist.client.machine.machine import (
    AskCredentials,
    AskGone,
    Connect,
    Deliver,
    Drop,
    Intent,
    Move,
    Send,
    Settle,
    Stop,
)
from takotwist.client.machine.mux import MuxMachine
from takotwist.client.machine.outcome import of_status
from takotwist.client.machine.policy import Policy
from takotwist.client.machine.subscription import SubscriptionMachine
from takotwist.errors import TakoError

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parent.parent / "vectors" / "client.json").read_text()
)


def plain(event: Message | Reset) -> dict[str, Any]:
    """An event as the vectors write it."""
    value = attrs.asdict(event)
    if isinstance(event, Message) and not event.params:
        del value["params"]
    return value


def code_of(error: TakoError | None) -> str | None:
    """What the vectors call an error."""
    return None if error is None else str(getattr(error, "code", type(error).__name__))


class Session:
    """One of the vectors' sessions, under way."""

    def __init__(self, vector: dict[str, Any]) -> None:
        keys = (f"key{n}" for n in itertools.count())
        self.vector = vector
        self.now = 1_000_000.0
        self.mux = vector["transport"] == "mux"
        self.topics: dict[str, int] = {}
        self.tokens: dict[int, str | None] = {}
        self.token = vector.get("authFrame")
        self.bound: dict[str, Any] = {}
        self.machine: Any
        if self.mux:
            self.machine = MuxMachine.idle(
                policy=Policy(), random=lambda: 0.0, make_key=lambda: next(keys)
            )
        else:
            self.machine = SubscriptionMachine.starting_at(
                vector.get("cursor"),
                {},
                policy=Policy(),
                random=lambda: 0.0,
                make_key=lambda: next(keys),
                transport=vector["transport"],
                credentials="fixed" if self.token else "none",
                on_gone=vector.get("gone", "reset"),
            )

    def run(self) -> None:
        """Do each step and compare.

        :raises AssertionError: names the step.
        """
        for number, step in enumerate(self.vector["steps"]):
            got = self._outputs(step["do"])
            try:
                self._match(got, step["expect"])
                if "cursor" in step:
                    assert self.machine.cursor == step["cursor"], self.machine.cursor
            except AssertionError as wrong:
                where = f"{self.vector['name']}: step {number} {step['do']}"
                raise AssertionError(
                    f"{where}\n  got {got}\n  expected {step['expect']}"
                ) from wrong

    def _outputs(self, do: dict[str, Any]) -> list[dict[str, Any]]:
        ((name, value),) = do.items()
        getattr(self, f"_do_{name}")(self._filled(value))
        outputs = self._taken()
        while (wake_at := self.machine.wake_at) is not None and wake_at <= self.now:
            self.machine.woke(self.now)
            outputs += self._taken()
        return outputs

    def _taken(self) -> list[dict[str, Any]]:
        outputs: list[dict[str, Any]] = []
        while intents := self.machine.intents():
            for intent in intents:
                outputs += self._written(intent)
        return outputs

    def _written(self, intent: Intent) -> list[dict[str, Any]]:
        topic = getattr(intent, "topic", 0)
        named = [name for name, number in self.topics.items() if number == topic]
        more = {"topic": named[0]} if self.mux and named else {}
        match intent:
            case Connect(carrier, cursor, stale_reset):
                if carrier == "mux":
                    return [{"connect": {}}]
                assert stale_reset == (self.vector.get("gone", "reset") == "reset")
                assert carrier == self.vector["transport"]
                return [{"connect": {"cursor": cursor}}]
            case Drop():
                return [{"drop": True}]
            case Send(text):
                return [{"send": json.loads(text)}]
            case Deliver(event, _):
                kind = "deliver" if isinstance(event, Message) else "reset"
                return [{kind: plain(event), **more}]
            case Move():
                return []
            case Settle(number, id, None):
                return [{"published": {"publish": number, "id": id}}]
            case Settle(number, _, error):
                return [{"failed": {"publish": number, "code": code_of(error)}}]
            case AskGone(error):
                return [{"gone": {"reason": code_of(error)}}]
            case AskCredentials(number):
                self.machine.credentials_given(number, self.tokens[number])
                return []
            case Stop(error):
                gone = [{"gone": {"reason": error.code}}] if isinstance(error, Gone) else []
                return [*gone, {"stopped": {"code": code_of(error)}, **more}]

    # The vectors' steps.

    def _do_start(self, value: Any) -> None:
        self.machine.started(self.now)

    def _do_close(self, value: Any) -> None:
        self.machine.closed()

    def _do_publish(self, value: Any) -> None:
        args = (value["type"], value["data"], self.now)
        if self.mux:
            self.machine.publish(self.topics[value["topic"]], *args)
        else:
            self.machine.publish(*args)

    def _do_subscribe(self, value: Any) -> None:
        # The number is known before the call, because its intents come within it.
        number = len(self.topics)
        self.topics[value["topic"]], self.tokens[number] = number, value.get("auth")
        assert number == self.machine.subscribed(
            value["channel"],
            value["params"],
            self.now,
            cursor=value.get("cursor"),
            credentials="fixed" if "auth" in value else "none",
        )

    def _do_unsubscribe(self, value: Any) -> None:
        self.machine.unsubscribed(self.topics[value])

    def _do_answerGone(self, value: Any) -> None:
        self.machine.gone_answered(value["cursor"], self.now)

    def _do_response(self, value: Any) -> None:
        outcome = of_status(
            value["status"], value.get("code"), content_type=value.get("contentType")
        )
        self.machine.answered(outcome, self.now)

    def _do_opened(self, value: Any) -> None:
        if self.mux:
            self.machine.opened(value["subprotocol"], self.now)
        else:
            self.machine.opened(value["subprotocol"], self.token, self.now)

    def _do_bytes(self, value: Any) -> None:
        self.machine.bytes_received(value.encode(), self.now)

    def _do_frame(self, value: Any) -> None:
        self.machine.text_received(json.dumps(value), self.now)

    def _do_text(self, value: Any) -> None:
        self.machine.text_received(value, self.now)

    def _do_ended(self, value: Any) -> None:
        self.machine.ended(self.now)

    def _do_failed(self, value: Any) -> None:
        self.machine.lost(self.now)

    def _do_closed(self, value: Any) -> None:
        self.machine.closed_by_peer(value["code"], value["reason"], self.now)

    def _do_advance(self, value: Any) -> None:
        self.now += value

    # Placeholders.

    def _filled(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._filled(one) for key, one in value.items()}
        return self.bound[value] if isinstance(value, str) and value[:1] == "$" else value

    def _match(self, got: Any, expected: Any) -> None:
        if isinstance(expected, str) and expected[:1] == "$":
            if expected not in self.bound:
                assert got not in self.bound.values(), f"{got} is used twice"
                self.bound[expected] = got
            assert self.bound[expected] == got, (expected, got)
        elif isinstance(expected, dict):
            assert isinstance(got, dict) and got.keys() == expected.keys(), (got, expected)
            for key, value in expected.items():
                self._match(got[key], value)
        elif isinstance(expected, list):
            assert isinstance(got, list) and len(got) == len(expected), (got, expected)
            for one, other in zip(got, expected, strict=True):
                self._match(one, other)
        else:
            assert got == expected, (got, expected)
