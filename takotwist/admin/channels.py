"""The administrator's list of channels and their subscribers, for ``tako channels``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import msgspec
from twisted.web.resource import Resource

from takotwist.admin.nodes import NodeInfo, OtherNodes
from takotwist.admin.page import WaitingPage
from takotwist.admin.together import joined_channels
from takotwist.core.channel import Registry
from takotwist.core.fanout import FanOut
from takotwist.core.topic import INTERNAL
from takotwist.streams.http.interface import BodyRequest

#: Path of the page, on the private listener.
CHANNELS_PATH = "/_tako/admin/channels"

#: Most topics that one answer names, those with most subscribers first.
MAX_TOPICS = 1_000


class ChannelsPage(WaitingPage):
    """``GET /_tako/admin/channels``: each channel with its topics that have subscribers.

    :param own: what this node says of itself.
    :param others: the other nodes; `None` where there is one process.
    """

    def __init__(
        self,
        registry: Registry,
        fanout: FanOut,
        own: Callable[[], NodeInfo],
        others: OtherNodes | None,
    ) -> None:
        Resource.__init__(self)
        self._registry = registry
        self._fanout = fanout
        self._own = own
        self._others = others

    async def content(self, request: BodyRequest) -> bytes:
        """See `WaitingPage`."""
        own = await self.own_content()
        if self._others is None:
            return own
        pages = [(self._own().label, msgspec.json.decode(own))]
        for one in await self._others.ask("channels"):
            if one.body is not None:
                pages.append((one.info.label, msgspec.json.decode(one.body)))
        return msgspec.json.encode(joined_channels(pages, MAX_TOPICS))

    async def own_content(self) -> bytes:
        """The content of this node's page."""
        subscribers: Counter[str] = Counter()
        topics = []
        for audience in self._fanout.audiences():
            if audience.topic.key.startswith(INTERNAL):
                # The server's own: rosters, broadcasts, streams.
                continue
            count = len(audience.members)
            subscribers[audience.topic.channel] += count
            topics.append((count, audience.topic))
        topics.sort(key=lambda pair: (-pair[0], pair[1].key))
        return msgspec.json.encode(
            {
                "channels": [
                    {
                        "channel": one.definition.name,
                        "place": one.place,
                        "params": one.definition.params.names,
                        "messages": sorted(one.definition.messages),
                        "handlers": None
                        if one.definition.handlers is None
                        else sorted(one.definition.handlers),
                        "verified": one.definition.verified,
                        "websocket": one.definition.bidirectional,
                        "subscribers": subscribers[one.definition.name],
                    }
                    for one in sorted(self._registry, key=lambda one: one.definition.name)
                ],
                "topics": [
                    {"topic": topic.key, "subscribers": count}
                    for count, topic in topics[:MAX_TOPICS]
                ],
                "topics_in_all": len(topics),
            }
        )
