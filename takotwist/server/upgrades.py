"""How large a frame each kind of WebSocket takes."""

from __future__ import annotations

import attrs
from twisted.internet.interfaces import IReactorTime

from takotwist.server.config import Config
from takotwist.streams.unfinished import Unfinished
from takotwist.streams.websocket.config import WebSocketConfig
from takotwist.streams.websocket.upgrade import WebSocketUpgrade

#: A frame of a client may be so many times the largest message: up to there it gets an
#: answer that names the fault, past it the connection is closed.
FRAME_FACTOR = 4

#: What a frame of a live object has beside its data, in bytes.
LIVE_ENVELOPE_BYTES = 4 * 1024


@attrs.frozen(slots=True)
class Upgrades:
    """The upgrades of one configuration.

    :ivar one: to one channel.
    :ivar many: to many topics and live objects, whose frames may be larger.
    """

    one: WebSocketUpgrade
    many: WebSocketUpgrade

    @classmethod
    def of(cls, config: Config, reactor: IReactorTime, unfinished: Unfinished) -> Upgrades:
        """As configured.

        :param unfinished: counts messages that are not whole.
        """

        def taking(size: int) -> WebSocketUpgrade:
            bounds = WebSocketConfig(max_frame_size=size, max_message_size=size)
            return WebSocketUpgrade(bounds, reactor, unfinished)

        channel = config.limits.max_message_bytes * FRAME_FACTOR
        live = config.live.max_message_bytes + LIVE_ENVELOPE_BYTES
        return cls(taking(channel), taking(max(channel, live)))
