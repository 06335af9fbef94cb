"""Resume state of one subscription: its cursor, and the `Reset` that it may owe its caller.

Three layers: `Position` is the cursor, `Continuity` tells whether what is delivered is still
one unbroken sequence, `Delivery` makes intents of it.  Rules:

- A position goes forward or is restarted on purpose.  Nothing that is merely repeated, late
  or older moves it back, which is what keeps a message from being delivered twice.
- An owed reset is paid before the next message and never before the subscription is attached
  again, so that no gap opens between reload and live.
- An event goes out together with the cursor of who has seen it, so that whoever stores that
  cursor after the event loses nothing.
"""

from __future__ import annotations

import attrs

from takotwist.client.errors import Gone
from takotwist.client.events import SYNCED, Event, Message, Reset
from takotwist.client.machine.machine import Deliver, Move
from takotwist.client.machine.policy import OnGone
from takotwist.core.json_values import JsonObject


def _newer(id: str, than: str) -> bool:
    if id.isascii() and id.isdigit() and than.isascii() and than.isdigit():
        return int(id) > int(than)
    # An id of some other server: all that can be said is whether it is the same.
    return id != than


@attrs.define(slots=True)
class Position:
    """The cursor of one subscription.

    :ivar cursor: the id to resume after, ``"0"`` for all that is in the window,
        `None` for live.
    """

    cursor: str | None = None

    def advance(self, id: str) -> bool:
        """Go on to `id`.

        :return: whether that was forward; if not, `id` was seen before.
        """
        if self.cursor is not None and not _newer(id, self.cursor):
            return False
        self.cursor = id
        return True

    def restart(self, cursor: str | None) -> None:
        """Continuity ended; what was seen before no longer counts."""
        self.cursor = cursor


@attrs.define(slots=True)
class Continuity:
    """One subscription's cursor and debts.

    :ivar on_gone: what the caller wants when continuity ends.
    """

    on_gone: OnGone = "reset"
    _position: Position = attrs.field(factory=Position)
    _owed: str | None = None

    @classmethod
    def starting_at(cls, cursor: str | None, on_gone: OnGone) -> Continuity:
        """From the caller's own cursor."""
        return cls(on_gone, Position(cursor))

    @property
    def cursor(self) -> str | None:
        """The id of the last event that was given out, or what a server said it is."""
        return self._position.cursor

    def attached(self, cursor: str | None) -> tuple[list[Reset], bool]:
        """The server said that we are attached, and perhaps where.

        :return: the reset that was owed, and whether the cursor moved.
        """
        moved = cursor is not None and self._position.advance(cursor)
        return self._paid(), moved

    def received(self, message: Message) -> list[Event]:
        """The events for the caller: none where the message was delivered before."""
        paid: list[Event] = [*self._paid()]
        return [*paid, message] if self._position.advance(message.id) else paid

    def was_reset(self, reason: str, cursor: str | None) -> Reset:
        """The server itself ended continuity and goes on live."""
        self._owed = None
        self._position.restart(cursor)
        return Reset(reason, cursor)

    def ended(self, reason: str) -> Gone | None:
        """Continuity has ended.

        :return: what to raise or ask with; `None` where the caller will get a `Reset`.
        """
        gone = Gone(reason, self._position.cursor)
        self._position.restart(None)
        if self.on_gone != "reset":
            return gone
        # The first reason is the cause; a later one is only its consequence.
        self._owed = self._owed or reason
        return None

    def restarted(self, cursor: str | None) -> None:
        """The app said where to go on."""
        self._position.restart(cursor)

    def _paid(self) -> list[Reset]:
        if self._owed is None:
            return []
        reset = Reset(self._owed, self._position.cursor)
        self._owed = None
        return [reset]


@attrs.frozen(slots=True)
class Delivery:
    """Continuity of one subscription, as intents for its caller.

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

    def synced(self, cursor: str | None, channel: str, params: JsonObject) -> list[Deliver | Move]:
        """All who were there have been named, on a roster."""
        at = cursor or self.continuity.cursor or ""
        said = Message(at, channel, SYNCED, {}, params)
        return [*self.attached(cursor), Deliver(said, self.continuity.cursor, self.topic)]

    def was_reset(self, reason: str, cursor: str | None) -> Deliver:
        """The server itself ended continuity and goes on live."""
        return Deliver(self.continuity.was_reset(reason, cursor), cursor, self.topic)
