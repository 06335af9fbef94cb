"""What a subscription's continuity has for its caller, as intents.

Rule: an event goes out together with the cursor of who has seen it, so that whoever
stores that cursor after the event loses nothing.
"""

from __future__ import annotations

import attrs

from takotwist.client.events import Message
from takotwist.client.machine.continuity import Continuity
from takotwist.client.machine.intents import Deliver, Move


@attrs.frozen(slots=True)
class Delivery:
    """Of one subscription.

    :ivar topic: its number, on a multiplexed connection.
    """

    continuity: Continuity
    topic: int = 0

    def attached(self, cursor: str | None) -> list[Deliver | Move]:
        """The server said that we are attached, and perhaps where."""
        resets, moved = self.continuity.attached(cursor)
        if moved and not resets and cursor is not None:
            return [Move(cursor, self.topic)]
        return [Deliver(reset, reset.cursor, self.topic) for reset in resets]

    def received(self, message: Message) -> list[Deliver]:
        """A message came; nothing where it was delivered before."""
        events = self.continuity.received(message)
        return [Deliver(event, self.continuity.cursor, self.topic) for event in events]

    def was_reset(self, reason: str, cursor: str | None) -> Deliver:
        """The server itself ended continuity and goes on live."""
        return Deliver(self.continuity.was_reset(reason, cursor), cursor, self.topic)
