"""The states of a subscription."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.client.machine.link import State
from takotwist.client.machine.machine import Connect
from takotwist.client.machine.outcome import of_status
from takotwist.client.machine.policy import OnGone, Policy, Transport
from takotwist.client.machine.subscription import TRANSITIONS, Phase, SubscriptionMachine

#: The state of the link in each phase: no other pair can be.
LINK = {
    Phase.NEW: State.IDLE,
    Phase.CONNECTING: State.CONNECTING,
    Phase.HANDSHAKE: State.CONNECTING,
    Phase.STREAMING: State.OPEN,
    Phase.PLAIN: State.OPEN,
    Phase.EXPLICIT: State.OPEN,
    Phase.WAITING: State.WAITING,
    Phase.ASKING_APP: State.IDLE,
    Phase.CLOSED: State.CLOSED,
}

#: Every fact, by name; each gets the machine and the time.
FACTS: dict[str, Callable[[SubscriptionMachine, float], None]] = {
    "started": lambda machine, now: machine.started(now),
    "stream": lambda machine, now: machine.answered(
        of_status(200, content_type="text/event-stream"), now
    ),
    "stream bytes": lambda machine, now: machine.bytes_received(
        b'id: 7\ndata: {"id":"7","channel":"c","type":"t","data":1}\n\n', now
    ),
    "broken bytes": lambda machine, now: machine.bytes_received(b"data: {\n\n", now),
    "not enabled": lambda machine, now: machine.answered(
        of_status(404, "transport-not-enabled"), now
    ),
    "refused": lambda machine, now: machine.answered(of_status(404, "channel-unknown"), now),
    "too old": lambda machine, now: machine.closed_by_peer(4410, "replay-too-old", now),
    "plain": lambda machine, now: machine.opened(None, "token", now),
    "explicit": lambda machine, now: machine.opened("tako.v1", None, now),
    "open": lambda machine, now: machine.text_received('{"op":"open","cursor":"5"}', now),
    "open without cursor": lambda machine, now: machine.text_received('{"op":"open"}', now),
    "message": lambda machine, now: machine.text_received(
        '{"id":"8","channel":"c","type":"t","data":1}', now
    ),
    "broken frame": lambda machine, now: machine.text_received("<html>", now),
    "ended": lambda machine, now: machine.ended(now),
    "cut": lambda machine, now: machine.lost(now),
    "woke": lambda machine, now: machine.woke(machine.wake_at or now),
    "app answered": lambda machine, now: machine.gone_answered("9", now),
    "refreshed": lambda machine, now: machine.refreshed("token"),
    "closed": lambda machine, now: machine.closed(),
}


def machine_of(
    transport: Transport = "auto", on_gone: OnGone = "reset", cursor: str | None = "1"
) -> SubscriptionMachine:
    """A subscription that has not begun."""
    return SubscriptionMachine.starting_at(
        cursor,
        {},
        policy=Policy(),
        random=lambda: 0.5,
        make_key=lambda: "key",
        transport=transport,
        on_gone=on_gone,
    )


class PhaseTests(SynchronousTestCase):
    """A subscription is in one state of a table."""

    def _phase_after(self, machine: SubscriptionMachine, *facts: str) -> Phase:
        for fact in facts:
            FACTS[fact](machine, 0)
        return machine.phase

    def test_examples(self) -> None:
        """One way into each phase."""
        sse, ask = machine_of("sse"), machine_of("websocket", "ask")
        self.assertIs(machine_of().phase, Phase.NEW)
        self.assertIs(self._phase_after(sse, "started"), Phase.CONNECTING)
        self.assertIs(self._phase_after(sse, "stream"), Phase.STREAMING)
        self.assertIs(self._phase_after(sse, "ended"), Phase.WAITING)
        self.assertIs(self._phase_after(sse, "closed"), Phase.CLOSED)
        self.assertIs(self._phase_after(ask, "started", "explicit"), Phase.HANDSHAKE)
        self.assertIs(self._phase_after(ask, "open"), Phase.EXPLICIT)
        self.assertIs(self._phase_after(ask, "too old"), Phase.ASKING_APP)
        self.assertIs(self._phase_after(ask, "app answered"), Phase.WAITING)
        self.assertIs(self._phase_after(ask, "woke", "plain"), Phase.PLAIN)

    def test_changes_to_sse(self) -> None:
        """Where WebSocket is not enabled, ``auto`` connects once more, over SSE, and
        ``websocket`` stops."""
        machine = machine_of("auto")
        self.assertIs(self._phase_after(machine, "started", "not enabled"), Phase.CONNECTING)
        carriers = [one.carrier for one in machine.intents() if isinstance(one, Connect)]
        self.assertEqual(carriers, ["websocket", "sse"])
        self.assertIs(self._phase_after(machine, "not enabled"), Phase.CLOSED)
        only = machine_of("websocket")
        self.assertIs(self._phase_after(only, "started", "not enabled"), Phase.CLOSED)

    def test_stream_in_place_of_an_upgrade(self) -> None:
        """Is tried again: there is no connection of which it could be read."""
        machine = machine_of("websocket")
        self.assertIs(self._phase_after(machine, "started", "stream"), Phase.WAITING)
        self.assertIn("HTTP status 200", machine.link.trouble or "")

    @given(
        st.sampled_from(["auto", "sse", "websocket"]),
        st.sampled_from(["reset", "raise", "ask"]),
        st.sampled_from([None, "1"]),
        st.lists(st.sampled_from(sorted(FACTS)), max_size=40),
    )
    def test_any_order(
        self, transport: Transport, on_gone: OnGone, cursor: str | None, facts: list[str]
    ) -> None:
        """Facts in any order, those too that no adapter reports: the phase goes by the table,
        and the link is in the one state that belongs to it."""
        machine, now = machine_of(transport, on_gone, cursor), 0.0
        for fact in ["started", *facts]:
            before, now = machine.phase, now + 10
            FACTS[fact](machine, now)
            if machine.phase is not before:
                self.assertIn(machine.phase, TRANSITIONS[before], fact)
            self.assertIs(machine.link.state, LINK[machine.phase], fact)
            reads, asks = machine._reader is not None, machine._gone_outcome is not None
            self.assertEqual(reads, machine.phase is Phase.STREAMING, fact)
            self.assertEqual(asks, machine.phase is Phase.ASKING_APP, fact)

    def test_closed_is_final(self) -> None:
        """After it no fact does anything."""
        for name, fact in FACTS.items():
            machine = machine_of()
            self._phase_after(machine, "started", "closed")
            machine.intents()
            fact(machine, 1)
            self.assertIs(machine.phase, Phase.CLOSED, name)
            self.assertEqual(machine.intents(), [], name)

    def test_late_facts(self) -> None:
        """What is told of a connection that is over neither counts as a failure nor is read."""
        for late in ("cut", "ended", "message", "stream bytes", "broken frame", "open", "plain"):
            machine = machine_of("sse")
            self._phase_after(machine, "started", "stream", "ended")
            machine.intents()
            wake_at = machine.wake_at
            self.assertIs(self._phase_after(machine, late), Phase.WAITING, late)
            self.assertEqual((machine.wake_at, machine.intents()), (wake_at, []), late)

    def test_refused(self) -> None:
        """A transition that the table has not is an error and changes nothing."""
        for before in Phase:
            for after in set(Phase) - TRANSITIONS[before]:
                machine = machine_of()
                machine.phase = before
                with self.assertRaises(RuntimeError):
                    machine._enter(after)
                self.assertIs(machine.phase, before)
