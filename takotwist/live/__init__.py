"""Live objects: `Channel`, `Broadcast` and `BroadcastChannel` between server and page.

What an application imports.  Rule: it never loads the server.
"""

from takotwist.live.broadcast.broadcast import Broadcast, Receipt
from takotwist.live.broadcast.durable import Replay
from takotwist.live.errors import (
    Abort,
    ChannelClosedError,
    ChannelOverflowError,
    ListenerError,
    LiveError,
    NetworkError,
    PageLeft,
    ReplayError,
    UsageError,
    ValidationError,
)
from takotwist.live.functions.call_context import CallContext, context
from takotwist.live.functions.function import Function, function
from takotwist.live.objects.broadcast_channel import BroadcastChannel
from takotwist.live.objects.channel import Channel, ClientEnd
from takotwist.live.objects.outcome import Outcome

__all__ = [
    "Abort",
    "Broadcast",
    "BroadcastChannel",
    "CallContext",
    "Channel",
    "ChannelClosedError",
    "ChannelOverflowError",
    "ClientEnd",
    "Function",
    "ListenerError",
    "LiveError",
    "NetworkError",
    "Outcome",
    "PageLeft",
    "Receipt",
    "Replay",
    "ReplayError",
    "UsageError",
    "ValidationError",
    "context",
    "function",
]
