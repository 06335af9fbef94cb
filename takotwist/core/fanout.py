"""Subscribers by topic, and the loop that hands a message to all of them.

Subscribers of a topic are grouped by the wire form they take, so a message is
encoded once for each form, and the loop over the sockets holds nothing but the
socket's own `send` where a connection's bytes can go straight to it: a step of
Python more for each delivery costs a third of the send itself.

Rules: a subscriber is in the live group exactly while its gate is open.  Bytes go
straight only while nothing of the connection waits, neither in its send queue nor
below; that is looked up before each loop and not kept up to date, because one of the
many places that write would forget to.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from itertools import chain

import attrs

from takotwist.core.replay import Gate, Replay
from takotwist.core.send_queue import FlushBatch, Send, SendQueue
from takotwist.core.tail import Item
from takotwist.core.topic import Topic
from takotwist.errors import Refusal

#: Fewer than this are written to one by one: to look up who waits would cost more.
FEW = 8

#: Most bytes of a burst that are joined into one push.
SLICE_BYTES = 64 * 1024


@attrs.define(slots=True, eq=False)
class Group:
    """The live subscribers of a topic that take the same wire form.

    :ivar written_at: when bytes last went straight to its members, in seconds.
    """

    written_at: float = attrs.field(default=0.0, init=False)
    _queued: dict[Subscription, Callable[[bytes], bool]] = attrs.field(factory=dict, init=False)
    _straight: dict[Send, Subscription] = attrs.field(factory=dict, init=False)

    def __len__(self) -> int:
        """The number of members."""
        return len(self._queued) + len(self._straight)

    def add(self, subscription: Subscription) -> None:
        """Let a subscriber have what is handed from here on."""
        send_queue = subscription.send_queue
        if send_queue.send is None or send_queue.group is not None:
            self._queued[subscription] = send_queue.deliver
        else:
            send_queue.group = self
            self._straight[send_queue.send] = subscription

    def discard(self, subscription: Subscription) -> None:
        """Let it have no more.  Harmless when it is no member."""
        send_queue = subscription.send_queue
        if self._queued.pop(subscription, None) is None and send_queue.group is self:
            self.withdraw(send_queue)
            del self._queued[subscription]

    def withdraw(self, send_queue: SendQueue) -> None:
        """From here on what a member is handed goes through its send queue."""
        if send_queue.send is not None and send_queue.group is self:
            subscription = self._straight.pop(send_queue.send)
            send_queue.written_at = send_queue.written_at
            send_queue.group = None
            self._queued[subscription] = send_queue.deliver

    def hand(
        self, blob: bytes, now: float, waiting: Callable[[], Iterable[Send]]
    ) -> list[Subscription]:
        """Give `blob` to every member.

        :param now: seconds.
        :param waiting: of connections for which something waits, theirs or others.
        :return: the members that could not take it.
        """
        refused: list[Subscription] = []
        if self._queued:
            # The values alone: to look at each member too would fetch it from memory.
            full = {deliver for deliver in self._queued.values() if not deliver(blob)}
            if full:
                refused += [one for one, deliver in self._queued.items() if deliver in full]
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
            for send_queue, sent in [
                (straight[send].send_queue, sent) for send, sent in unsent.items()
            ]:
                send_queue.write(blob[sent:])
        return refused + [one for one in aside if not one.send_queue.deliver(blob)]


def _send(blob: bytes, sends: Iterator[Send]) -> dict[Send, int]:
    """Give `blob` to all.

    :return: the sockets that took less, and how much; one that failed took nothing.
    """
    size = len(blob)
    unsent: dict[Send, int] = {}
    while True:
        try:
            for send in sends:
                if (sent := send(blob)) != size:
                    unsent[send] = sent
        except OSError:
            # The write of the rest finds out whether it has gone or is only full.
            unsent[send] = 0
        else:
            return unsent


@attrs.define(slots=True, eq=False)
class Subscription:
    """One topic on one connection.

    :ivar window_us: how far back the topic's window reaches.
    :ivar send_queue: the connection's.
    :ivar replay: where this subscriber stands.
    :ivar on_open: called once, before the first message, with the cursor at which
        the subscription begins, and with the refusal that a reset stands for.
    :ivar on_end: called when the server ends the subscription, never after a detach.
    :ivar forgotten_when_idle: whether the topic is dropped when nobody uses it.
    :ivar keyed: whether the topic's messages have keys.
    :ivar on_live: called once, when all that was there at the beginning has been given.
    :ivar whole_from: of a topic with keys that is read from its beginning, the head then:
        what was removed up to there had no part in what this subscriber was to be given.
    :ivar state: gives the state of the topic, newer than a cursor that is too old, where the app
        has one.
    :ivar first: what is given before anything else.
    :ivar busy: a page is being read for it, or it is being continued just now.
    """

    topic: Topic
    window_us: int
    send_queue: SendQueue
    on_open: Callable[[int, Refusal | None], None]
    on_end: Callable[[Refusal], None]
    forgotten_when_idle: bool = False
    keyed: bool = False
    on_live: Callable[[], None] | None = None
    whole_from: int = 0
    state: Callable[[int], Awaitable[Item]] | None = None
    first: Item | None = attrs.field(default=None, init=False)
    replay: Replay = attrs.field(factory=lambda: Replay(0), init=False)
    busy: bool = attrs.field(default=False, init=False)

    @property
    def ended(self) -> bool:
        """`True` once it has been detached."""
        return self.replay.gate is Gate.ENDED


@attrs.define(slots=True, eq=False)
class Audience:
    """The subscribers of one topic.

    :ivar fanned_out: an id up to which every message of the topic has been handed
        to who was live then.  It begins at the log's head, or where nobody knows that yet
        (0), at what it is when the first gate may open.
    """

    topic: Topic
    fanned_out: int
    members: set[Subscription] = attrs.field(factory=set, init=False)
    _live: dict[object, Group] = attrs.field(factory=dict, init=False)

    def open_gate(self, subscription: Subscription, head: int) -> bool:
        """Make `subscription` live if it has been given all that was fanned out.

        :param head: the log's now.
        """
        if not self.fanned_out:
            self.fanned_out = head
        if not subscription.replay.open(self.fanned_out):
            return False
        form = subscription.send_queue.form
        group = self._live.get(form)
        if group is None:
            group = self._live[form] = Group()
        group.add(subscription)
        return True

    def close_gate(self, subscription: Subscription) -> None:
        """Take `subscription` out of the live group."""
        group = self._live.get(subscription.send_queue.form)
        if group is not None:
            group.discard(subscription)
            if not group:
                del self._live[subscription.send_queue.form]

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

    def interrupted(self, last_id: int) -> tuple[list[Subscription], list[Subscription]]:
        """Close every gate after `publish` has failed somewhere on its way to `last_id`.

        :return: the subscriptions that were live, of which nobody knows what they were
            given, and the others, which are complete up to their position.
        """
        # From here on a gate opens only for who has read the messages in the log.
        self.fanned_out = max(self.fanned_out, last_id)
        live = [one for one in self.members if one.replay.gate is Gate.OPEN]
        for subscription in live:
            self.close_gate(subscription)
        return live, [one for one in self.members if one.replay.gate is Gate.CLOSED]

    def skipped(self, head: int) -> list[Subscription]:
        """Close every gate, because `publish` will not be told of all up to `head`.

        :return: the subscriptions that were live; each goes on from what it was given.
        """
        live = [one for one in self.members if one.replay.gate is Gate.OPEN]
        for subscription in live:
            self.close_gate(subscription)
            subscription.replay.lagged(self.fanned_out)
        self.fanned_out = max(self.fanned_out, head)
        return live


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

    flush_batch: FlushBatch
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

    def open_gate(self, subscription: Subscription, head: int) -> bool:
        """Make an attached subscription live if it has been given everything; see
        `Audience.open_gate`."""
        return self._audiences[subscription.topic.key].open_gate(subscription, head)

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
        return audience.publish(items, self.flush_batch.now, self._waiting)

    def interrupted(self, key: str, last_id: int) -> tuple[list[Subscription], list[Subscription]]:
        """Stop delivering to a topic after `publish` has failed; see `Audience.interrupted`."""
        audience = self._audiences.get(key)
        return ([], []) if audience is None else audience.interrupted(last_id)

    def skipped(self, key: str, head: int) -> list[Subscription]:
        """Messages up to `head` may be missing from what was published to a topic; see
        `Audience.skipped`."""
        audience = self._audiences.get(key)
        return [] if audience is None else audience.skipped(head)

    def _waiting(self) -> Iterable[Send]:
        return chain(self.flush_batch.holding, self.blocked())

    def audiences(self) -> Iterator[Audience]:
        """Every topic that has subscribers."""
        return iter(self._audiences.values())

    def size(self, key: str) -> int:
        """The number of a topic's subscribers."""
        audience = self._audiences.get(key)
        return 0 if audience is None else len(audience.members)

    def __contains__(self, key: str) -> bool:
        """`True` while the topic has subscribers."""
        return key in self._audiences

    def keys(self) -> frozenset[str]:
        """Keys of the topics that have subscribers."""
        return frozenset(self._audiences)
