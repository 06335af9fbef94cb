"""The right to do what one node of several does for all."""

from __future__ import annotations

import attrs
import msgspec

from takotwist.core.channel import MINUTE_MS, Lifecycle
from takotwist.core.topic import Draft, Topic
from takotwist.flow.publish import PublisherService

#: The topic of leases.  Not a channel's name.
LEASE = "~lease"

LEASE_LIFECYCLE = Lifecycle(replay_window_ms=10 * MINUTE_MS, replay_max_messages=1000)

#: Seconds for which the lease is given at a time.
SLOT_SECONDS = 10.0


@attrs.define(slots=True, eq=False)
class Lease:
    """The right to look and to deliver, which one node has at a time.

    The first to store the key of a slot of time has the slot; the one that has it is earlier for
    the next one.  Two clocks that differ may give it to two for a moment, and then an event is
    delivered twice, which may happen anyway.  A clock that is set back makes no slot longer, and
    keeps nobody from asking for those that come again.
    """

    _publishing: PublisherService
    _node: str
    _until: float = attrs.field(default=0.0, init=False)
    _slot: int = attrs.field(default=-1, init=False)

    @property
    def held(self) -> bool:
        """`True` while this node may deliver."""
        left = self._until - self._publishing.wall()
        return self._publishing.log.everything or 0 < left <= 2 * SLOT_SECONDS

    async def renew(self) -> bool:
        """Ask for it, where it is time to.

        :return: whether it is held.
        """
        if self._publishing.log.everything:
            return True
        now = self._publishing.wall()
        slot = int(now // SLOT_SECONDS)
        if self.held and now > (slot + 0.5) * SLOT_SECONDS:
            slot += 1
        if not self._slot - 1 <= slot <= self._slot:
            draft = Draft("lease", msgspec.json.encode(self._node))
            topic = Topic.of(LEASE, {})
            answer = await self._publishing.publish(topic, [draft], LEASE_LIFECYCLE, f"{slot}")
            self._slot = slot
            if msgspec.json.decode(answer.messages[0].data) == self._node:
                self._until = (slot + 1) * SLOT_SECONDS
        return self.held
