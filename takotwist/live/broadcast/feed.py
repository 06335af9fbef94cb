"""The feed of the bus: what the log reports, for subscribers without a cursor.

Rule: there is one way of delivery.  What this process has published comes back by the log
like what others have, in the log's order.  A key is followed while it has subscribers here;
one that has none costs nothing, whoever publishes on it.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from takotwist.errors import Refusal
from takotwist.live.broadcast.bus import Bus, Publication
from takotwist.live.broadcast.durable import Durable, LogSubscription, PublicationLog, Replay


@attrs.define(slots=True, eq=False)
class _Followed:
    """One key of the log.

    :ivar replay: `None` for what is not kept.
    """

    _log: PublicationLog
    _bus: Bus
    _key: str
    _replay: Replay | None
    _subscription: LogSubscription | None = attrs.field(default=None, init=False)

    def start(self, *, at_once: bool) -> None:
        self._subscription = self._log.follow(
            self._key, self._replay, None, False, self._begun, self._take, self._ended
        )
        self._subscription.start(at_once=at_once)

    def leave(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            subscription.leave()

    def _begun(self, place: int, was_reset: bool) -> None:
        pass

    def _take(self, publications: Sequence[Publication]) -> None:
        for one in publications:
            if self._replay is None:
                # Nobody can go on from there.
                one = attrs.evolve(one, info=attrs.evolve(one.info, cursor=None))
            self._bus.deliver(self._key, one)

    def _ended(self, refusal: Refusal) -> None:
        # This node was away for longer than the log keeps the key's publications, as a
        # rule.  Who has no cursor hears what comes from now on, and sees the gap by `seq`.
        self.start(at_once=False)


@attrs.define(slots=True, eq=False)
class LogFeed:
    """See `takotwist.live.broadcast.bus.Feed`."""

    _durable: Durable
    _bus: Bus
    _followed: dict[str, dict[bool, _Followed]] = attrs.field(factory=dict, init=False)

    def start(self) -> None:
        """Begin: the log was started."""
        self._bus.connect(self)

    def wanted(self, key: str) -> None:
        """See `Feed`."""
        log, replay = self._durable.log, self._durable.replay_of(key)
        if log.shared:
            # Another node may know it as durable.
            self._follow(key, None)
            self._follow(key, replay or Replay())
        elif replay is not None:
            self._follow(key, replay)

    def unwanted(self, key: str) -> None:
        """See `Feed`."""
        for one in self._followed.pop(key, {}).values():
            one.leave()

    def _follow(self, key: str, replay: Replay | None) -> None:
        followed = self._followed.setdefault(key, {})
        kept = replay is not None
        if kept not in followed:
            followed[kept] = _Followed(self._durable.log, self._bus, key, replay)
            followed[kept].start(at_once=True)
