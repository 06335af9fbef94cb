"""Rosters in the log: what nodes have said of their members, and where each has some.

An index, which is a topic with keys as a roster is, names the topics at which a node has
members; another names the nodes.  So what a roster holds of a node is known after a restart.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import msgspec
from twisted.internet.defer import Deferred

from takotwist.core.channel import Lifecycle, PresenceRules
from takotwist.core.json_values import JsonObject
from takotwist.core.log import Appended
from takotwist.core.roster_messages import LEAVE, Change, Entry, read_entry, roster_of
from takotwist.core.topic import EVERYTHING, Draft, Message, Topic
from takotwist.errors import Refusal
from takotwist.flow.authorize import AuthorizerService
from takotwist.flow.member_events import MemberEvents
from takotwist.flow.publish import PublisherService
from takotwist.flow.read_log import MAX_BYTES, PAGE_MESSAGES
from takotwist.ports import IReplayLog

#: How long leaves are kept at least, in milliseconds: a client that is away for less has them.
LEAST_WINDOW_MS = 60_000

#: Not a channel's name.  Topics of it: a node's index, and the names of all nodes.
INDEX = "~presence"

#: The names of all nodes that had members.
_NODES = Topic.of(INDEX, {})


class _Indexed(msgspec.Struct):
    channel: str
    params: JsonObject


@attrs.define(slots=True, eq=False)
class RosterStore:
    """Reads and writes what nodes say.

    :ivar events: who tells the app, and webhooks.
    """

    log: IReplayLog
    publishing: PublisherService
    authorizing: AuthorizerService
    events: MemberEvents

    # rosters

    def rules(self, channel: str) -> PresenceRules | None:
        """The presence settings of a channel; `None` also while it is not known."""
        try:
            return self.authorizing.registry.get(channel).definition.presence
        except Refusal:
            return None

    def lifecycle(self, channel: str) -> Lifecycle:
        """The lifecycle by which leaves are kept."""
        try:
            definition = self.authorizing.registry.get(channel).definition
        except Refusal:
            return Lifecycle()
        window = self.authorizing.lifecycle(definition).replay_window_ms
        return Lifecycle(replay_window_ms=max(window, LEAST_WINDOW_MS))

    def tell(self, topic: Topic, changes: Sequence[Change]) -> None:
        """Tell others than readers of changes that are about to be stored."""
        rules = self.rules(topic.channel)
        self.events.put(topic, changes, rules is not None and bool(rules.hooks))

    def append(
        self, topic: Topic, changes: Sequence[Change], lifecycle: Lifecycle
    ) -> Deferred[Appended]:
        """Store changes of who is at a topic.

        :param changes: all of them kept, or none.
        """
        return self.publishing.publish(
            roster_of(topic),
            [Draft(change.type, change.data) for change in changes],
            lifecycle,
            keys=tuple(change.key for change in changes),
            kept=changes[0].kept,
        )

    async def entries(self, topic: Topic, node: str) -> list[Entry]:
        """The log's entries of a node's members, and of its count."""
        entries = []
        for message in await whole_topic(self.log, roster_of(topic)):
            entry = read_entry(message.data, message.id)
            if message.type != LEAVE and entry.on == node and entry.count != 0:
                entries.append(entry)
        return entries

    # the index

    def index(self, node: str, topic: Topic, *, there: bool) -> Deferred[Appended]:
        """Have the index of a node name a topic, or not any more."""
        data = msgspec.json.encode(_Indexed(topic.channel, dict(topic.params)))
        return self.publishing.publish(
            _index_topic(node),
            [Draft("there" if there else "empty", data)],
            Lifecycle(replay_window_ms=LEAST_WINDOW_MS),
            keys=(topic.key,),
            kept=there,
        )

    def note(self, node: str, *, there: bool) -> Deferred[Appended]:
        """Have the log know that there is such a node."""
        return self.publishing.publish(
            _NODES,
            [Draft("there" if there else "gone", msgspec.json.encode(node))],
            Lifecycle(replay_window_ms=LEAST_WINDOW_MS),
            keys=(node,),
            kept=there,
        )

    async def indexed(self, node: str) -> list[Topic]:
        """The topics at which a node may have members."""
        topics = []
        for message in await whole_topic(self.log, _index_topic(node)):
            if message.type == "there":
                said = msgspec.json.decode(message.data, type=_Indexed)
                params: JsonObject = said.params
                topics.append(Topic.of(said.channel, params))
        return topics

    async def noted(self) -> set[str]:
        """Nodes that may have members."""
        return {
            msgspec.json.decode(message.data, type=str)
            for message in await whole_topic(self.log, _NODES)
            if message.type == "there"
        }


async def whole_topic(log: IReplayLog, topic: Topic) -> list[Message]:
    """All that the log holds of a topic with keys."""
    messages: list[Message] = []
    after, more = EVERYTHING, True
    while more:
        page = await log.read(topic, after, PAGE_MESSAGES, MAX_BYTES)
        messages += page.messages
        more = page.more
        if page.messages:
            after = page.messages[-1].id
    return messages


def _index_topic(node: str) -> Topic:
    return Topic.of(INDEX, {"on": node})
