"""Who is subscribed to what, and the loop that hands a message to all of them.

Subscribers of a topic are grouped by the wire form they take, so a message is
encoded once for each form and the loop over the subscribers holds no decision
but "did it fit".  Rule: a subscriber is in the live group exactly while its
gate is open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

import attrs

from takotwist.core.group import Group
from takotwist.core.replay import Gate, Replay
from takotwist.core.send_queue import Outbox, Send, Turn
from takotwist.core.tail import Item
from takotwist.core.topic import Topic
from takotwist.errors import Refusal

#: Most bytes of a burst that are joined into one push.
SLICE_BYTES = 64 * 1024


@attrs.define(slots=True, eq=False)
class Subscription:
    """One topic on one connection.

    :ivar window_us: how far back the topic's window reaches.
    :ivar outbox: the connection's.
    :ivar replay: where this subscriber stands.
    :ivar on_open: called once, before the first message, with the cursor at which
        the subscription begins, and with the refusal that a reset stands for.
    :ivar on_end: called when the server ends the subscription, never after a detach.
    :ivar forgotten_when_idle: whether the topic is dropped when nobody uses it.
    :ivar busy: a page is being read for it, or it is being continued just now.
    """

    topic: Topic
    window_us: int
    outbox: Outbox
    on_open: Callable[[int, Refusal | None], None]
    on_end: Callable[[Refusal], None]
    forgotten_when_idle: bool = False
    replay: Replay = attrs.field(factory=lambda: Replay(0), init=False)
    busy: bool = attrs.field(default=False, init=False)

    @property
    def ended(self) -> bool:
        """Whether it has been detached."""
        return self.replay.gate is Gate.ENDED


@attrs.define(slots=True, eq=False)
class Audience:
    """The subscribers of one topic.

    :ivar fanned_out: an id up to which every message of the topic has been handed
        to who was live then.  It begins at the log's head.
    """

    topic: Topic
    fanned_out: int
    members: set[Subscription] = attrs.field(factory=set, init=False)
    _live: dict[object, Group] = attrs.field(factory=dict, init=False)

    def open_gate(self, subscription: Subscription) -> bool:
        """Make `subscription` live if it has been given all that was fanned out."""
        if not subscription.replay.open(self.fanned_out):
            return False
        form = subscription.outbox.form
        group = self._live.get(form)
        if group is None:
            group = self._live[form] = Group()
        group.add(subscription)
        return True

    def close_gate(self, subscription: Subscription) -> None:
        """Take `subscription` out of the live group."""
        group = self._live.get(subscription.outbox.form)
        if group is not None:
            group.discard(subscription)
            if not group:
                del self._live[subscription.outbox.form]

    def publish(
        self, items: Sequence[Item], now: float, waiting: Callable[[], Iterable[Send]]
    ) -> tuple[int, list[Subscription]]:
        """Hand `items`, the topic's next messages, to every live subscriber.

        :param now: seconds.
        :param waiting: see `Group.hand`.
        :return: how many deliveries were made, and the subscribers that could not
            take all and are no longer live.
        """
        delivered = 0
        lagging: list[Subscription] = []
        for part in _slices(items):
            full: list[Subscription] = []
            for form, group in self._live.items():
                blob = (
                    part[0].frame(form)
                    if len(part) == 1
                    else b"".join([item.frame(form) for item in part])
                )
                refused = group.hand(blob, now, waiting)
                delivered += (len(group) - len(refused)) * len(part)
                full += refused
            for subscription in full:
                self.close_gate(subscription)
                subscription.replay.lagged(self.fanned_out)
            lagging += full
            self.fanned_out = part[-1].id
        return delivered, lagging


def _slices(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    start = size = 0
    for index, item in enumerate(items):
        if size and size + item.size > SLICE_BYTES:
            yield items[start:index]
            start, size = index, 0
        size += item.size
    yield items[start:]


@attrs.define(slots=True)
class FanOut:
    """All audiences, by topic key.  A topic without subscribers has no entry.

    :ivar blocked: of connections whose transport has yet to send what it was given.
    """

    turn: Turn
    blocked: Callable[[], Iterable[Send]] = tuple
    _audiences: dict[str, Audience] = attrs.field(factory=dict, init=False)

    def attach(self, subscription: Subscription, head: int) -> None:
        """Join the topic, gate closed.

        :param head: the log's head now.  A new audience begins there: the gate of
            its first member opens only when it has been given all up to `head`.
            (Beginning at 0 would let a page that was read before this moment,
            for somebody else who has left since, pass for complete.)
        """
        key = subscription.topic.key
        audience = self._audiences.get(key)
        if audience is None:
            audience = self._audiences[key] = Audience(subscription.topic, head)
        audience.members.add(subscription)

    def open_gate(self, subscription: Subscription) -> bool:
        """Make an attached subscription live if it has been given everything."""
        return self._audiences[subscription.topic.key].open_gate(subscription)

    def detach(self, subscription: Subscription) -> None:
        """Leave the topic.  Harmless when already gone."""
        subscription.replay.end()
        audience = self._audiences.get(subscription.topic.key)
        if audience is None or subscription not in audience.members:
            return
        audience.members.discard(subscription)
        audience.close_gate(subscription)
        if not audience.members:
            del self._audiences[subscription.topic.key]

    def publish(self, key: str, items: Sequence[Item]) -> tuple[int, list[Subscription]]:
        """Hand `items` to the topic's live subscribers; see `Audience.publish`."""
        audience = self._audiences.get(key)
        if audience is None:
            return 0, []
        return audience.publish(items, self.turn.now, self._waiting)

    def _waiting(self) -> Iterable[Send]:
        return chain(self.turn.holding, self.blocked())

    def audiences(self) -> Iterator[Audience]:
        """Every topic that has subscribers."""
        return iter(self._audiences.values())

    def __contains__(self, key: str) -> bool:
        """Whether the topic has subscribers."""
        return key in self._audiences

    def keys(self) -> frozenset[str]:
        """Keys of the topics that have subscribers."""
        return frozenset(self._audiences)
