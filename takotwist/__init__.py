"""Durable realtime channels, for people who run their own server.

What an application imports.  Rule: importing this loads neither Twisted nor the
server, because other people's programs import it early, in every process.
"""

from __future__ import annotations

from takotwist import errors
from takotwist.app.bound import BoundChannel
from takotwist.app.calls import Reject
from takotwist.app.channel import Channel
from takotwist.app.define import define_channel
from takotwist.app.newest import Newest
from takotwist.app.presence import Member, Presence
from takotwist.app.published import Published
from takotwist.app.publisher import Publisher
from takotwist.app.state import State, StateRequest
from takotwist.app.stream_writer import BlockingMessageWriter, MessageWriter
from takotwist.app.streamed_message import StreamedMessage
from takotwist.app.types import Context, VerifyRequest
from takotwist.core.authorization import Grant, HeaderCredential
from takotwist.errors import Refusal, TakoError

__all__ = [
    "BlockingMessageWriter",
    "BoundChannel",
    "Channel",
    "Context",
    "Grant",
    "HeaderCredential",
    "Member",
    "MessageWriter",
    "Newest",
    "Presence",
    "Published",
    "Publisher",
    "Refusal",
    "Reject",
    "State",
    "StateRequest",
    "StreamedMessage",
    "TakoError",
    "VerifyRequest",
    "define_channel",
    "errors",
]
