"""The administrator's list of channels and their subscribers, for ``tako channels``."""

from __future__ import annotations

from collections import Counter

import msgspec
from twisted.web.resource import Resource

from takotwist.core.channel import Registry
from takotwist.core.fanout import FanOut
from takotwist.streams.http.interface import Request

#: Path of the page, on the private listener.
CHANNELS_PATH = "/_tako/admin/channels"

#: Most topics that one answer names, those with most subscribers first.
MAX_TOPICS = 1_000


class ChannelsPage(Resource):
    """``GET /_tako/admin/channels``: each channel with its topics that have subscribers."""

    isLeaf = True

    def __init__(self, registry: Registry, fanout: FanOut) -> None:
        Resource.__init__(self)
        self._registry = registry
        self._fanout = fanout

    def render_GET(self, request: Request) -> bytes:
        """Implement `IResource`."""
        subscribers: Counter[str] = Counter()
        topics = []
        for audience in self._fanout.audiences():
            count = len(audience.members)
            subscribers[audience.topic.channel] += count
            topics.append((count, audience.topic))
        topics.sort(key=lambda pair: (-pair[0], pair[1].key))
        request.setHeader(b"Content-Type", b"application/json")
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
