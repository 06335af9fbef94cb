"""Members that are taken out, on every node that has connections of them.

Whoever is asked says it in a topic that all nodes follow.  A node that has its log alone hears
itself; one that could not be reached for a moment goes on from the log, as any subscriber does.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
import msgspec
from twisted.internet.defer import ensureDeferred
from twisted.logger import Logger

from takotwist.codecs.wire_forms import WireForm
from takotwist.core.channel import Lifecycle
from takotwist.core.fanout import Subscription
from takotwist.core.json_values import JsonObject
from takotwist.core.send_queue import SendQueue
from takotwist.core.topic import Draft, Topic
from takotwist.errors import Refusal, VerifyRejected
from takotwist.flow.attach import RETRY_SECONDS, Attacher
from takotwist.flow.presence import PresenceService
from takotwist.flow.publish import PublisherService
from takotwist.flow.sessions import Sessions

#: Bytes of orders that are joined.
JOINED_BYTES = 32 * 1024

#: How far back a node that was away looks, in milliseconds.
WINDOW_MS = 60_000

_TOPIC = Topic.of("~presence", {"kicks": "all"})
_FORM = WireForm("kick", lambda message: message.data + b"\n")


class _Order(msgspec.Struct):
    by: str
    channel: str
    params: JsonObject
    subject: str


@attrs.define(slots=True, eq=False)
class PresenceKicks:
    """Takes members out, here and on all nodes.

    :ivar later: calls a function after so many seconds.
    """

    presence: PresenceService
    sessions: Sessions
    attacher: Attacher
    publishing: PublisherService
    later: Callable[..., object]
    _subscription: Subscription | None = attrs.field(default=None, init=False)
    _stopped: bool = attrs.field(default=False, init=False)
    _logger: Logger = attrs.field(factory=Logger, init=False)

    async def kick(self, topic: Topic, subject: str) -> int:
        """Take a member out: its subscriptions end as if it had been refused.

        :return: how many connections it had on this node.
        :raises StoreUnavailable: the other nodes could not be told; here it is out.
        """
        ended = self._kick(topic, subject)
        if not self.attacher.log.everything:
            order = _Order(self.presence.node, topic.channel, dict(topic.params), subject)
            await self.publishing.publish(
                _TOPIC,
                [Draft("kick", msgspec.json.encode(order))],
                Lifecycle(replay_window_ms=WINDOW_MS),
            )
        return ended

    def start(self) -> None:
        """Listen to other nodes, where there are any.  Harmless when repeated."""
        alone = self.attacher.log.everything
        if self._subscription is None and not self._stopped and not alone:
            ensureDeferred(self._follow())

    def stop(self) -> None:
        """Listen no more."""
        self._stopped = True
        if self._subscription is not None:
            self.attacher.detach(self._subscription)
            self._subscription = None

    def _kick(self, topic: Topic, subject: str) -> int:
        connections = set(self.presence.kick(topic, subject))
        if connections:
            for session in self.sessions:
                subscribed = session.subscribed.get(topic.key)
                if session.id in connections and subscribed is not None:
                    subscribed.ended(VerifyRejected("You were taken out."))
        return len(connections)

    async def _follow(self) -> None:
        send_queue = SendQueue(JOINED_BYTES, self.publishing.flush_batch)
        send_queue.connect(_FORM, self._take)
        subscription = self._subscription = Subscription(
            _TOPIC, WINDOW_MS * 1000, send_queue, lambda cursor, reset: None, self._ended
        )
        self.attacher.attach(subscription)
        try:
            await self.attacher.start(subscription, None, True)
        except Refusal as refusal:
            self._ended(refusal)

    def _ended(self, refusal: Refusal) -> None:
        self._subscription = None
        if not self._stopped:
            self.later(RETRY_SECONDS, self.start)

    def _take(self, blob: bytes) -> None:
        for line in blob.splitlines():
            try:
                order = msgspec.json.decode(line, type=_Order)
                if order.by != self.presence.node:
                    self._kick(Topic.of(order.channel, order.params), order.subject)
            except Exception:
                self._logger.failure("taking a member out failed")
