"""Streamed messages: opened, written and ended, each with its opening and its final message.

What was written is a stream of its own (`flow.durable_streams`), and is stored as that is.  Rule:
who stores the end of a stream stores its final message; should they not, whoever looks after
those that are open (`flow.open_messages`) does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
from twisted.internet.defer import Deferred

from takotwist.core.channel import Lifecycle
from takotwist.core.durable_stream import About, End, StreamState
from takotwist.core.stream_change import Change, Decision, Result, Write
from takotwist.core.streamed_message import (
    Cancel,
    Expire,
    MessageBounds,
    NoteOpened,
    Open,
    Renew,
    final,
    key_of,
    opening,
    spec_of,
    stream_of,
)
from takotwist.core.topic import Draft, Topic
from takotwist.errors import (
    BodyInvalid,
    ChannelUnknown,
    MessageTooLarge,
    NotFound,
    Refusal,
    StoreUnavailable,
    StreamDifferent,
    StreamEnded,
    StreamGap,
    StreamTaken,
    TransportNotEnabled,
)
from takotwist.flow.authorize import AuthorizerService
from takotwist.flow.durable_streams import PAGE_BYTES, StreamService
from takotwist.flow.gather import shielded
from takotwist.flow.open_messages import OpenMessage, OpenMessages
from takotwist.flow.publish import PublisherService, validate
from takotwist.flow.topic_request import TopicRequest
from takotwist.trampoline import started

#: Who stored an end has so long to store the final message, before another one does.
FINISH_US = 5_000_000


@attrs.frozen(slots=True)
class Opened:
    """A streamed message that is open, or was.

    :ivar epoch: of the writer that asked.
    :ivar state: of its stream.
    :ivar created: by this request.
    """

    about: About
    epoch: int
    state: StreamState
    created: bool = False


@attrs.define(slots=True, eq=False)
class StreamedMessages:
    """The streamed messages of a server.

    :ivar streams: their streams, within the bounds of those.
    """

    streams: StreamService
    publishing: PublisherService
    authorizing: AuthorizerService
    bounds: MessageBounds
    open_messages: OpenMessages
    _watching: dict[str, list[Callable[[End], object]]] = attrs.field(factory=dict, init=False)

    def start(self) -> None:
        """Look after what is open."""
        self.open_messages.start(self.look_after)

    def stop(self) -> None:
        """Look after nothing any more."""
        self.open_messages.stop()

    async def open(self, asked: TopicRequest, about: About, *, resume: bool) -> Opened:
        """Have a message opened, once for a key, or taken over.

        :param about: with the params of the topic.
        :raises StreamDifferent: one of its id is there, and is not to be taken over or cannot be.
        :raises StreamEnded: it has ended.
        :raises Overloaded: too many are open.
        :raises BodyInvalid: the opening message does not fit the channel's messages.
        """
        topic, stream = asked.topic, stream_of(asked.topic, about.id)
        if not self.streams.log.keyed:
            raise TransportNotEnabled("This server's replay log has no streamed messages yet.")
        draft = Draft(about.type, opening(about))
        validate(asked.definition, [draft])
        if await self.streams.look(stream) is None:
            await self.open_messages.add(topic, about.id)
        spec = spec_of(about, self.streams.now_us)
        decision = (await self.streams.change(stream, Open(spec, about.key, resume))).decision
        self._refuse(decision)
        state = await self._there(stream)
        assert state.spec is not None and decision.producer is not None
        if not state.opened and not state.ended:
            key = key_of(about, state.spec.at_us)
            lifecycle = self.authorizing.lifecycle(asked.definition)
            stored = await self.publishing.publish(topic, [draft], lifecycle, keys=(key,))
            await self.streams.change(stream, NoteOpened(stored.messages[0].id))
            state = await self._there(stream)
            if state.ended:
                # In between: its final message is to stand in the place of the opening one.
                await self._finish(self.open_messages.found(topic, about.id))
        return Opened(about, decision.producer[0], state, decision.result is Result.CREATED)

    async def write(self, topic: Topic, id: str, write: Write) -> Decision:
        """Append, end, or both.

        :raises NotFound: there is none.
        :raises StreamEnded: :raises StreamTaken: :raises StreamGap: :raises MessageTooLarge:
            :raises BodyInvalid: as they say.
        """
        return self._refuse(await self._change(topic, id, write))

    async def renew(self, topic: Topic, id: str, epoch: int) -> Decision:
        """Its writer is there.  :raises: as `write`."""
        return self._refuse(await self._change(topic, id, Renew(epoch)))

    async def cancel(self, topic: Topic, id: str) -> Decision:
        """End it for whoever does not want the rest; one that has ended stays as it is.

        :raises NotFound: there is none.
        """
        return self._refuse(await self._change(topic, id, Cancel()))

    async def open_in(self, topic: Topic) -> Sequence[Opened]:
        """Those of a topic that are open, in the order of their opening."""
        found = []
        for one in self.open_messages.in_topic(topic):
            state = await self.streams.look(one.stream)
            if state is not None and not state.ended and state.opened:
                assert state.spec is not None and state.spec.about is not None
                found.append(Opened(state.spec.about, 0, state))
        return sorted(found, key=lambda one: one.state.opened)

    def watch(self, topic: Topic, id: str, ended: Callable[[End], object]) -> Callable[[], None]:
        """Be told of an end that is stored on this node; the result ends that."""
        key = stream_of(topic, id).key
        self._watching.setdefault(key, []).append(ended)

        def forget() -> None:
            told = self._watching.get(key, [])
            if ended in told:
                told.remove(ended)
            if not told:
                self._watching.pop(key, None)

        return forget

    async def look_after(self, one: OpenMessage) -> int:
        """End what is over, and finish what has ended; see `OpenMessages`."""
        state = await self.streams.look(one.stream)
        if state is None:
            # It was never made, or is long gone.
            await self.open_messages.close(one)
            return 0
        if not state.ended:
            expire = Expire(self.bounds, one.since_us)
            left_us = expire.due_us(state) - self.streams.now_us
            if left_us > 0:
                return left_us
            await self._change(one.of, one.entry.id, expire)
            return FINISH_US
        left_us = state.ended_us + FINISH_US - self.streams.now_us
        if left_us > 0:
            return left_us
        await self._finish(one)
        return FINISH_US

    # inside

    def _change(self, topic: Topic, id: str, change: Change) -> Deferred[Decision]:
        """Change one, and do what its end asks for, also where who ends it has left by then: a page
        that is closed says so and goes."""
        return shielded(started(self._changed(topic, id, change)))

    async def _changed(self, topic: Topic, id: str, change: Change) -> Decision:
        stream = stream_of(topic, id)
        decision = (await self.streams.change(stream, change)).decision
        if decision.ended and decision.drafts:
            # First: a writer that is in this process need not wait for the final message.
            for tell in list(self._watching.get(stream.key, ())):
                tell(decision.end or End(""))
        if decision.ended and (decision.drafts or decision.result is Result.REPEATED):
            one = self.open_messages.get(stream)
            if one is None and decision.drafts:
                one = self.open_messages.found(topic, id)
            if one is not None:
                await self._finish(one)
        return decision

    async def _there(self, stream: Topic) -> StreamState:
        state = await self.streams.look(stream)
        if state is None:
            raise StoreUnavailable
        return state

    async def _finish(self, one: OpenMessage) -> None:
        """Store the final message, and that it is open no more."""
        await one.finishing.acquire()
        try:
            if self.open_messages.get(one.stream) is one:
                await self._finish_now(one)
        finally:
            one.finishing.release()

    async def _finish_now(self, one: OpenMessage) -> None:
        state = await self._there(one.stream)
        assert state.spec is not None and state.spec.about is not None
        about, after, more = state.spec.about, state.created, True
        chunks: list[bytes] = []
        while more:
            some = await self.streams.read(one.stream, state, after, PAGE_BYTES)
            chunks += some.data
            after, more = some.to, some.more
        data = final(about, state.end or End(""), state.opened, chunks)
        key = key_of(about, state.spec.at_us)
        lifecycle = await self._lifecycle(one.of.channel)
        await self.publishing.publish(one.of, [Draft(about.type, data)], lifecycle, keys=(key,))
        # Not before: should it end between the two, the final message is stored once more, and
        # in the place of the first.
        await self.open_messages.close(one)

    async def _lifecycle(self, channel: str) -> Lifecycle:
        try:
            return self.authorizing.lifecycle(await self.authorizing.find(channel))
        except ChannelUnknown:
            # It was defined when the message was opened.
            return Lifecycle()

    def _refuse(self, decision: Decision) -> Decision:
        refusal = self._refusal(decision)
        if refusal is not None:
            raise refusal
        return decision

    def _refusal(self, decision: Decision) -> Refusal | None:
        result, end = decision.result, decision.end or End("")
        if result is Result.NOT_THERE:
            return NotFound("There is no streamed message of this id, or not any more.")
        if result is Result.ALREADY_ENDED:
            return StreamEnded(how=end.how, reason=end.reason)
        if result is Result.STALE_EPOCH:
            return StreamTaken()
        if result is Result.DIFFERENT:
            return StreamDifferent()
        if result is Result.GAP and decision.producer is not None:
            return StreamGap(expected=decision.producer[1])
        if result is Result.FULL:
            return MessageTooLarge(f"A streamed message may have {self.bounds.bytes} bytes here.")
        if result in (Result.BAD_BODY, Result.BAD_EPOCH, Result.OTHER_TYPE):
            return BodyInvalid(decision.why or f"Refused: {result.value}.")
        if result is Result.TOO_MANY_PRODUCERS:
            return BodyInvalid("Producer-Id must be 'writer'.")
        return None
