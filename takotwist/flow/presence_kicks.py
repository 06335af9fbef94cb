"""Members that are taken out, on every node that has connections of them.

Whoever is asked says it in a topic that all nodes follow.  A node that has its log alone hears
itself; one that could not be reached for a moment goes on from the log, as any subscriber does.
"""

from __future__ import annotations

import attrs
import msgspec

from takotwist.core.channel import Lifecycle
from takotwist.core.json_values import JsonObject
from takotwist.core.topic import Draft, Topic
from takotwist.errors import VerifyRejected
from takotwist.flow.attach import Attacher
from takotwist.flow.authorize import AuthorizerService
from takotwist.flow.listening import Listening
from takotwist.flow.presence import PresenceService
from takotwist.flow.publish import PublisherService
from takotwist.flow.sessions import Sessions

#: How far back a node that was away looks, in milliseconds.
WINDOW_MS = 60_000

_TOPIC = Topic.of("~presence", {"kicks": "all"})
_LIFECYCLE = Lifecycle(replay_window_ms=WINDOW_MS)


class _Order(msgspec.Struct):
    by: str
    channel: str
    params: JsonObject
    subject: str


_ORDER = msgspec.json.Decoder(_Order)


@attrs.define(slots=True, eq=False)
class PresenceKicks:
    """Takes members out, here and on all nodes.

    :ivar process: the name of this process among all that share the log.  Not the node's: in a
        rolling restart two processes have that one, and each must hear the other.
    """

    presence: PresenceService
    sessions: Sessions
    authorizing: AuthorizerService
    attacher: Attacher
    publishing: PublisherService
    process: str
    _listening: Listening = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        # When all of the turn is handed: it ends readers of other topics.
        self._listening = Listening(
            self.attacher,
            self.publishing.flush_batch,
            _TOPIC,
            _LIFECYCLE,
            self._take,
            lambda: None,
            at_once=False,
        )

    async def kick(self, topic: Topic, subject: str) -> int:
        """Take a member out: its subscriptions end as if it had been refused.

        :return: how many connections it had on this node.
        :raises StoreUnavailable: the other nodes could not be told; here it is out.
        """
        ended = self._kick(topic, subject)
        if not self.attacher.log.everything:
            order = _Order(self.process, topic.channel, dict(topic.params), subject)
            await self.publishing.publish(
                _TOPIC, [Draft("kick", msgspec.json.encode(order))], _LIFECYCLE
            )
        return ended

    def start(self) -> None:
        """Listen to other nodes, where there are any."""
        if not self.attacher.log.everything:
            self._listening.start()

    def stop(self) -> None:
        """Listen no more."""
        self._listening.stop()

    def _kick(self, topic: Topic, subject: str) -> int:
        self.presence.kick(topic, subject)
        self.authorizing.kicked(topic, subject)
        # By whom they were let in as: a connection that is about to follow, or that came when
        # there was no place, is no member's, and would stay.
        taken = []
        for session in self.sessions:
            subscribed = session.subscribed.get(topic.key)
            if subscribed is not None and subscribed.admitted.grant.subject == subject:
                taken.append(subscribed)
        for subscribed in taken:
            subscribed.ended(VerifyRejected("You were taken out."))
        return len(taken)

    def _take(self, kind: str, data: bytes) -> None:
        order = _ORDER.decode(data)
        if order.by != self.process:
            self._kick(Topic.of(order.channel, order.params), order.subject)
