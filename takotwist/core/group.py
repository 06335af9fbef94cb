"""Who is live on one topic in one wire form, and how a blob is handed to all of them.

Where a connection's bytes can go straight to its socket the loop holds nothing but
the socket's own `send`: a step of Python more for each delivery costs a third of the
send itself.  Rule: bytes go straight only while nothing of the connection waits,
neither in its outbox nor below, and that is looked up before each loop, not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import attrs

from takotwist.core.send_queue import Outbox, Send

if TYPE_CHECKING:
    from takotwist.core.fanout import Subscription

#: Fewer than this are written to one by one: to look up who waits would cost more.
FEW = 8


@attrs.define(slots=True, eq=False)
class Group:
    """The live subscribers of a topic that take the same wire form.

    :ivar written_at: when bytes last went straight to its members, in seconds.
    """

    written_at: float = attrs.field(default=0.0, init=False)
    _by_outbox: dict[Subscription, Callable[[bytes], bool]] = attrs.field(factory=dict, init=False)
    _straight: dict[Send, Subscription] = attrs.field(factory=dict, init=False)

    def __len__(self) -> int:
        """How many members there are."""
        return len(self._by_outbox) + len(self._straight)

    def add(self, subscription: Subscription) -> None:
        """Let a subscriber have what is handed from here on."""
        outbox = subscription.outbox
        if outbox.send is None or outbox.group is not None:
            self._by_outbox[subscription] = outbox.deliver
        else:
            outbox.group = self
            self._straight[outbox.send] = subscription

    def discard(self, subscription: Subscription) -> None:
        """Let it have no more.  Harmless when it is no member."""
        outbox = subscription.outbox
        if self._by_outbox.pop(subscription, None) is None and outbox.group is self:
            self.withdraw(outbox)
            del self._by_outbox[subscription]

    def withdraw(self, outbox: Outbox) -> None:
        """From here on what a member is handed goes through its outbox."""
        if outbox.send is not None and outbox.group is self:
            subscription = self._straight.pop(outbox.send)
            outbox.written_at = outbox.written_at
            outbox.group = None
            self._by_outbox[subscription] = outbox.deliver

    def hand(
        self, blob: bytes, now: float, waiting: Callable[[], Iterable[Send]]
    ) -> list[Subscription]:
        """Give `blob` to every member.

        :param now: seconds.
        :param waiting: of connections for which something waits, theirs or others.
        :return: who could not take it.
        """
        refused: list[Subscription] = []
        if self._by_outbox:
            # The values alone: to look at each member too would fetch it from memory.
            full = {deliver for deliver in self._by_outbox.values() if not deliver(blob)}
            if full:
                refused += [one for one, deliver in self._by_outbox.items() if deliver in full]
        straight = self._straight
        if len(straight) < FEW:
            aside = list(straight.values())
        else:
            # Looked up before anything is sent, or the blob would overtake what waits.
            behind = {send for send in waiting() if send in straight}
            aside = [straight[send] for send in behind]
            sends = [send for send in straight if send not in behind] if behind else straight
            self.written_at = now
            # Nothing happens to members meanwhile: no code but the sockets' runs.
            unsent = _send(blob, iter(sends))
            for outbox, sent in [(straight[send].outbox, sent) for send, sent in unsent.items()]:
                outbox.write(blob[sent:])
        return refused + [one for one in aside if not one.outbox.deliver(blob)]


def _send(blob: bytes, sends: Iterator[Send]) -> dict[Send, int]:
    """Give `blob` to all; who took less, and how much.  What failed took nothing."""
    size = len(blob)
    unsent: dict[Send, int] = {}
    while True:
        try:
            for send in sends:
                if (sent := send(blob)) != size:
                    unsent[send] = sent
        except OSError:
            # Whether it has gone or is only full is found by who writes the rest.
            unsent[send] = 0
        else:
            return unsent
