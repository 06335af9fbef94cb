"""The state of a topic, as a client adds it up."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist.client.events import Event, Message, Reset
from takotwist.client.state import StateView


def message(id: int, type: str, data: Any) -> Message:
    return Message(str(id), "sum", type, data, {})


class StateViewTests(SynchronousTestCase):
    def take(self, view: StateView[Any], *events: Event) -> list[Any]:
        return [view.take(event) for event in events]

    def test_sum(self) -> None:
        """The app's state, then each message; after a reset it begins anew."""
        view: StateView[int] = StateView(lambda total, said: total + said.data, 0)
        taken = self.take(
            view,
            message(5, "tako.state", 7),
            message(5, "tako.synced", {}),
            message(6, "add", 2),
        )
        self.assertEqual((taken, view.synced), ([7, 7, 9], True))
        taken = self.take(view, Reset("replay-too-old", "newest"))
        self.assertEqual((taken, view.synced), ([0], False))
        self.assertEqual(
            self.take(view, message(9, "tako.state", 1), message(10, "add", 1)), [1, 2]
        )

    def test_table(self) -> None:
        """A state that is changed in place is made anew for each beginning."""

        def row(table: dict[str, int], said: Message) -> dict[str, int]:
            if said.type == "gone":
                table.pop(said.data["id"], None)
            else:
                table[said.data["id"]] = said.data["value"]
            return table

        view: StateView[dict[str, int]] = StateView(row, dict)
        self.take(view, message(1, "set", {"id": "a", "value": 1}))
        self.take(view, message(2, "set", {"id": "b", "value": 2}), message(3, "gone", {"id": "a"}))
        self.assertEqual(view.state, {"b": 2})
        self.take(view, Reset("replay-too-old", "0"))
        self.assertEqual(view.state, {})
