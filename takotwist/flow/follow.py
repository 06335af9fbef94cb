"""log -> follow -> fan out

Publishing only appends.  What the log reports, of this process and of others, is handed to
the subscribers here, in the order of the log; there is no second channel of delivery whose
order could differ.  Rules: what one report holds is fanned out in the turn in which the
log's head rises over it; every connection is written to once a turn; and a topic of which
a report may lack something goes on from the log, as a slow reader does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import attrs
from twisted.logger import Logger
from zope.interface import implementer

from takotwist.codecs.wire_forms import Encoded
from takotwist.core.fanout import FanOut, Subscription
from takotwist.core.log import Report, Reported
from takotwist.core.metrics import Metrics
from takotwist.core.send_queue import FlushBatch
from takotwist.core.tail import Tails
from takotwist.flow.attach import Attacher
from takotwist.flow.followed import FollowedTopics
from takotwist.ports import ILogFollower


@implementer(ILogFollower)
@attrs.define(slots=True, eq=False)
class Follower:
    """Fans out what the log reports.

    :ivar wall: unix time in seconds.
    :ivar seconds: a clock for durations.
    :ivar conflates: whether slow readers of a channel, which has keys, are to skip messages of
        which there is a later one of the same key.
    """

    fanout: FanOut
    tails: Tails
    attacher: Attacher
    followed: FollowedTopics
    flush_batch: FlushBatch
    metrics: Metrics
    wall: Callable[[], float]
    seconds: Callable[[], float]
    conflates: Callable[[str], bool] = lambda channel: False
    _lagging: list[Subscription] = attrs.field(factory=list, init=False)
    _logger: Logger = attrs.field(factory=Logger, init=False)

    def reported(self, report: Report) -> None:
        """See `ILogFollower`."""
        self.flush_batch.now = self.seconds()
        self.flush_batch.delivering = True
        now_us = int(self.wall() * 1_000_000)
        # `()` as a rule; no keys stand for all.
        if report.skipped != ():
            self._skip(report.head, report.skipped)
        for topic in report.topics:
            items = [Encoded(message) for message in topic.messages]
            try:
                self._keep(topic, items, now_us)
                delivered, behind = self.fanout.publish(topic.key, items)
            except Exception:
                # It is stored: its publisher must not be told that it failed, and its
                # readers have it from the log.  The other topics go on.
                self._logger.failure("fanning out failed")
                behind = self.attacher.interrupted(topic.key, items[-1].id)
            else:
                self.metrics.deliveries += delivered
            if behind:
                self._lagging += behind

    def settled(self) -> None:
        """See `ILogFollower`."""
        while True:
            try:
                self.flush_batch.end()
                break
            except Exception:
                self._logger.failure("writing to a connection failed")
        if self._lagging:
            lagging, self._lagging = self._lagging, []
            self.attacher.lagging(lagging)
        if self.followed.behind:
            self.followed.risen()

    def _skip(self, head: int, keys: Collection[str] | None) -> None:
        for key in self.fanout.keys() if keys is None else keys:
            # It may lack messages, and then would answer with a gap.
            self.tails.forget(key)
            self._lagging += self.fanout.skipped(key, head)
        if keys is None:
            self.tails.clear()

    def _keep(self, topic: Reported, items: Sequence[Encoded], now_us: int) -> None:
        key, lifecycle, keys = topic.key, topic.lifecycle, topic.keys
        if (lifecycle.inactivity_ttl_ms and key not in self.fanout) or not self.followed.has(key):
            # Of what is not followed the next message may not be heard; and the log may
            # drop an idle topic at any moment from its ttl on.
            self.tails.forget(key)
            return
        if keys and not self.conflates(items[0].message.topic.channel):
            keys = ()
        self.tails.append(
            key,
            items,
            keep_messages=lifecycle.replay_max_messages,
            keep_bytes=lifecycle.replay_max_bytes,
            window_us=lifecycle.replay_window_ms * 1000,
            now_us=now_us,
            keys=keys,
        )
