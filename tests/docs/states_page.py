"""``docs/architecture/states.md``: a picture of each lifecycle, drawn from its table."""

# ruff: noqa: E501  (the page has longer lines than the code)

from __future__ import annotations

import inspect
from collections.abc import Iterator
from enum import Enum
from types import ModuleType
from typing import Any

import attrs

from takotwist.client.machine import link as client_link
from takotwist.client.machine import mux_topics, subscription
from takotwist.core import replay
from takotwist.live import link as live_link
from takotwist.live.machine import lifecycle
from takotwist.server.supervisor import place
from takotwist.states import Transitions
from takotwist.transports import wire
from takotwist.transports.mux import topics

_HEAD = """\
# States

This page is made by `python -m tests.docs.generated`; do not edit it.

Each lifecycle keeps its state in one attribute and has a table of what may follow each state; a transition that the table
does not have is refused (`takotwist/states.py`). The head of each file says what causes each transition.
"""


@attrs.frozen
class Lifecycle:
    """One lifecycle of the program.

    :ivar title: a noun phrase.
    :ivar first: the state that it begins in.
    :ivar note: a sentence more, for a reader of the page.
    """

    title: str
    module: ModuleType
    table: Transitions[Any]
    first: Enum
    note: str = ""

    @property
    def states(self) -> type[Enum]:
        """All of its states."""
        return type(self.first)

    @property
    def path(self) -> str:
        """The file that the table is in."""
        return self.module.__name__.replace(".", "/") + ".py"


LIFECYCLES = (
    Lifecycle(
        "Connection of the server",
        wire,
        wire.TRANSITIONS,
        wire.WireState.OPENING,
        "The same for a WebSocket, an event stream with POSTs upstream and a stream of WebTransport.",
    ),
    Lifecycle(
        "Frames of a connection with many topics",
        topics,
        topics.INTAKE_TRANSITIONS,
        topics.Intake.READING,
    ),
    Lifecycle("Gate to live messages", replay, replay.TRANSITIONS, replay.Gate.CLOSED),
    Lifecycle(
        "Live session on one wire",
        live_link,
        live_link.TRANSITIONS,
        live_link.LinkState.NEW,
    ),
    Lifecycle(
        "Live object",
        lifecycle,
        lifecycle.TRANSITIONS,
        lifecycle.Phase.NEW,
        "`clients/js/src/live_machine.ts` has the same phases; `tests/vectors/live.json` holds both to them.",
    ),
    Lifecycle(
        "Subscription of the Python client",
        subscription,
        subscription.TRANSITIONS,
        subscription.Phase.NEW,
    ),
    Lifecycle(
        "Connection of the Python client",
        client_link,
        client_link.TRANSITIONS,
        client_link.State.IDLE,
        "What callers see of a subscription, and the whole of a connection with many topics.",
    ),
    Lifecycle(
        "Topic on such a connection",
        mux_topics,
        mux_topics.TRANSITIONS,
        mux_topics.TopicState.WAITING,
        "It is over when it is removed, which it can be in any state.",
    ),
    Lifecycle(
        "Place of one process of the server", place, place.TRANSITIONS, place.PlaceState.EMPTY
    ),
)


def diagram(one: Lifecycle) -> Iterator[str]:
    """The lines of its picture, as Mermaid reads them."""
    yield "stateDiagram-v2"
    yield f"    [*] --> {one.first.name}"
    for state in one.states:
        after = one.table[state]
        yield from (f"    {state.name} --> {to.name}" for to in one.states if to in after)
        if not after:
            yield f"    {state.name} --> [*]"


def states() -> str:
    """The whole page."""
    parts = [_HEAD]
    for one in LIFECYCLES:
        said = (inspect.getdoc(one.states) or "").split("\n\n")[0]
        picture = "\n".join(diagram(one))
        text = f"`{one.states.__name__}` in `{one.path}`: {said[0].lower()}{said[1:]}"
        parts.append(
            f"\n## {one.title}\n\n{text}{' ' * bool(one.note)}{one.note}\n\n"
            f"```mermaid\n{picture}\n```\n"
        )
    return "".join(parts)
