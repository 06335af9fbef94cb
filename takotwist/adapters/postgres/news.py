"""Answer to one query of news, for the topics that a node follows."""

from __future__ import annotations

from functools import partial

import attrs
from psycopg.pq.abc import PGresult

from takotwist.adapters.postgres.entries import message_of
from takotwist.adapters.postgres.topics import FollowedTopic, FollowedTopics
from takotwist.adapters.postgres.values import read_int8
from takotwist.core.channel import Lifecycle
from takotwist.core.log import Reported
from takotwist.core.retention import lifecycle_of
from takotwist.core.topic import INTERNAL, Message


@attrs.define(slots=True, eq=False)
class News:
    """The messages of some ranges.

    :ivar skipped: keys of topics of which messages were removed before this node had them.
    :ivar unleased: keys of topics that are dropped for idleness, and that no node says it follows.
    :ivar messages: how many there are; `total`: how many there would be without a bound.
    :ivar last: the id of the last one.
    """

    skipped: list[str] = attrs.field(factory=list, init=False)
    unleased: list[str] = attrs.field(factory=list, init=False)
    messages: int = attrs.field(default=0, init=False)
    total: int = attrs.field(default=0, init=False)
    last: int = attrs.field(default=0, init=False)
    _topics: dict[int, tuple[FollowedTopic, Lifecycle, list[Message], list[str | None]]] = (
        attrs.field(factory=dict, init=False)
    )

    @classmethod
    def of(cls, result: PGresult, rows: set[int], head: int, followed: FollowedTopics) -> News:
        """Read a result.

        :param rows: of the topics that were asked for.
        :param head: of this node.
        """
        news = cls()
        for at in range(result.ntuples):
            news._take(result, at, head, followed)
        for row in rows - news._topics.keys():
            gone = followed.at(row)
            if gone is not None:
                # The topic was dropped with all that it had.
                news.skipped.append(gone.topic.key)
        return news

    def _take(self, result: PGresult, at: int, head: int, followed: FollowedTopics) -> None:
        get = result.get_value
        row, number = read_int8(get(at, 0)), read_int8(get(at, 1))
        if number:
            self.messages, self.last, self.total = self.messages + 1, number, read_int8(get(at, 2))
            if row in self._topics:
                one, _, found, keys = self._topics[row]
                found.append(message_of(one.topic, partial(get, at), 3, number))
                digest = get(at, 13)
                keys.append(None if digest is None else digest.hex())
            return
        key = (get(at, 7) or b"").decode()
        topic = followed.get(key)
        if topic is None:
            return
        followed.place(topic, row)
        window, ttl, most, size = (read_int8(get(at, column)) for column in range(9, 13))
        self._topics[row] = (topic, lifecycle_of((window, ttl, most, size)), [], [])
        if read_int8(get(at, 8)) > head:
            # Removed and gone before this node had it.
            self.skipped.append(key)
        if ttl and not topic.leased:
            self.unleased.append(key)

    def reported(self) -> list[Reported]:
        """The messages by topic; what nodes tell each other may be about what comes after it."""
        reported = [
            Reported(topic.topic.key, lifecycle, found, keys if any(keys) else ())
            for topic, lifecycle, found, keys in self._topics.values()
            if found
        ]
        reported.sort(key=lambda one: (not one.key.startswith(INTERNAL), one.messages[0].id))
        return reported
