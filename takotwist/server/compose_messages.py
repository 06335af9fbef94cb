"""The parts list of streamed messages."""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.internet.defer import Deferred, ensureDeferred

from takotwist.app.stream_call import OpenCall, RenewCall, StreamCall, StreamReply
from takotwist.core.durable_stream import JSON_TYPE, WRITER, End, Producer, offset_of
from takotwist.core.json_values import JsonObject
from takotwist.core.stream_change import Write
from takotwist.core.streamed_message import MessageBounds
from takotwist.facades.durable_streams.messages import MessageRoutes, about_of
from takotwist.facades.durable_streams.reading import StreamReader
from takotwist.flow.durable_streams import StreamService
from takotwist.flow.open_messages import OpenMessages
from takotwist.flow.streamed_messages import StreamedMessages
from takotwist.flow.topic_request import TopicRequest
from takotwist.server.compose_sentences import Sentences
from takotwist.server.config.streams import Streams
from takotwist.streams.http.interface import ReadableRequest
from takotwist.transports.admission import Admission


@attrs.frozen(slots=True, eq=False)
class MessageParts:
    """Streamed messages of a server.

    :ivar open_messages: those that are open; starts and stops with the server.
    """

    config: Streams
    messages: StreamedMessages
    open_messages: OpenMessages
    random: Callable[[], float]

    @property
    def in_process(self) -> InProcessStreams:
        """Writers of the app's code in this process."""
        return InProcessStreams(self.messages)

    def routes(
        self,
        admission: Admission,
        may_publish: Callable[[ReadableRequest], None],
        cost: Callable[[str, int], None],
    ) -> MessageRoutes:
        """The routes of a listener."""
        reader = StreamReader(admission, self.messages.streams, self.config, self.random)
        return MessageRoutes(
            admission, self.messages, reader, may_publish, cost, self.config.max_append_bytes
        )


def compose_messages(
    config: Streams,
    sentences: Sentences,
    *,
    wall: Callable[[], float],
    random: Callable[[], float],
) -> MessageParts:
    """The streamed messages of a server."""
    publishing = sentences.publishing
    bounds = MessageBounds(
        bytes=config.message_bytes,
        open_us=_microseconds(config.message_seconds),
        lease_us=_microseconds(config.message_lease_seconds),
        kept_us=_microseconds(config.message_kept_seconds),
        max_open=config.message_open,
    )
    streams = StreamService(publishing.log, sentences.followed, publishing, bounds.of_stream, wall)
    open_messages = OpenMessages(publishing, sentences.attacher, bounds.max_open, bounds.lease_us)
    messages = StreamedMessages(streams, publishing, sentences.authorizing, bounds, open_messages)
    return MessageParts(config, messages, open_messages, random)


def _microseconds(seconds: float) -> int:
    return round(seconds * 1_000_000)


@attrs.frozen(slots=True, eq=False)
class InProcessStreams:
    """Writers of the app's code in this process (`takotwist.adapters.authorize_local.Streams`)."""

    messages: StreamedMessages

    def ask(self, channel: str, params: JsonObject, call: StreamCall) -> Deferred[StreamReply]:
        """Answer a writer's call."""
        return ensureDeferred(self._asked(channel, params, call))

    def watch(
        self, channel: str, params: JsonObject, id: str, ended: Callable[[str, str], object]
    ) -> Callable[[], None]:
        """Have `ended` called with how and why, when an end is stored here."""
        found: list[Callable[[], None]] = []
        gone: list[bool] = []

        async def begin() -> None:
            asked = await self._bound(channel, params)
            if not gone:
                told = self.messages.watch(asked.topic, id, lambda end: ended(end.how, end.reason))
                found.append(told)

        def forget() -> None:
            gone.append(True)
            for one in found:
                one()

        ensureDeferred(begin()).addErrback(lambda failure: None)
        return forget

    async def _asked(self, channel: str, params: JsonObject, call: StreamCall) -> StreamReply:
        asked = await self._bound(channel, params)
        messages, topic = self.messages, asked.topic
        if isinstance(call, OpenCall):
            about = about_of(asked, call.id, call.type, call.key, text=call.text, meta=call.meta)
            opened = await messages.open(asked, about, resume=call.resume)
            state = opened.state
            lease = messages.bounds.lease_us / 1_000_000
            return StreamReply(
                str(state.opened), opened.epoch, state.data, offset_of(state.tail), lease
            )
        if isinstance(call, RenewCall):
            await messages.renew(topic, call.id, call.epoch)
            return StreamReply()
        end = End(call.end, call.reason, call.error) if call.end else None
        producer = Producer(WRITER, call.epoch, call.seq)
        write = Write(call.values, JSON_TYPE, end is not None, producer, how=end)
        await messages.write(topic, call.id, write)
        return StreamReply()

    async def _bound(self, channel: str, params: JsonObject) -> TopicRequest:
        authorizing = self.messages.authorizing
        return authorizing.bind(await authorizing.find(channel), params)
