"""A streamed message: one message of a topic that is written bit by bit.

What was written is a durable stream.  The topic itself has an opening message and, in its
place in the log, a final one with all of the text.  Rules: a message ends once, whoever ends
it, its writer, a page that cancels, or who finds that its writer has gone; and one writer
has it, so what an earlier one still sends is refused.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import msgspec

from takotwist.core.durable_stream import (
    CHANNEL,
    CLAIM,
    CREATE,
    END,
    JSON_TYPE,
    MARK_BYTES,
    NULL,
    OPENED,
    READ,
    WRITER,
    About,
    Claim,
    End,
    Spec,
    StreamBounds,
    StreamState,
)
from takotwist.core.stream_change import Decision, Result
from takotwist.core.topic import Draft, Topic

#: Where all messages that are open stand, each with a key.
OPEN_MESSAGES = Topic.of("~streamed", {"open": "all"})

#: Ends, and reasons of those that failed.
ENDED, FAILED, CANCELLED = "ended", "failed", "cancelled"
WRITER_GONE, TOO_LONG = "writer-gone", "too-long"

#: How much more a stream may have than its text, in the log: each chunk is a message.
OVERHEAD = 8


def stream_of(topic: Topic, id: str) -> Topic:
    """The topic of the stream of a message of `topic`."""
    return Topic.of(CHANNEL, {"of": topic.key, "id": id})


@attrs.frozen(slots=True)
class MessageBounds:
    """Bounds of streamed messages.

    :ivar bytes: of what one has, as JSON.
    :ivar open_us: for which one may be open.
    :ivar lease_us: without a word of its writer, after which that has gone.
    :ivar kept_us: for which its stream is kept after the end.
    :ivar max_open: that are open in one topic.
    """

    bytes: int
    open_us: int
    lease_us: int
    kept_us: int
    max_open: int

    @property
    def of_stream(self) -> StreamBounds:
        """Bounds of its stream."""
        return StreamBounds(
            max_bytes=OVERHEAD * self.bytes + MARK_BYTES,
            # Its end comes first, also where nodes are slow to find it.
            lifetime_us=2 * self.open_us + self.lease_us + self.kept_us,
            max_producers=1,
            max_data=self.bytes,
            kept_us=self.kept_us,
        )


def spec_of(about: About, now_us: int) -> Spec:
    """The stream of a message."""
    return Spec(JSON_TYPE, now_us, about=about)


# changes of its stream


@attrs.frozen(slots=True)
class Open:
    """Have it, or take it over.

    :ivar key: the same where this is asked again.
    """

    spec: Spec
    key: str
    resume: bool = False

    def decide(self, state: StreamState, now_us: int, bounds: StreamBounds) -> Decision:
        """See `Decision`."""
        lifecycle = bounds.lifecycle(self.spec)
        if not state.lives(now_us, bounds):
            drafts = (Draft(CREATE, msgspec.json.encode(self.spec)),)
            return Decision(Result.CREATED, drafts, lifecycle, producer=(0, -1))
        known = state.producers[WRITER]
        if state.claim == self.key:
            return Decision(Result.THERE, ended=state.ended, producer=known, end=state.end)
        if not self.resume or not self._same(state):
            why = "A message of this id is there already."
            return Decision(Result.DIFFERENT, ended=state.ended, why=why, end=state.end)
        if state.ended:
            return Decision(Result.ALREADY_ENDED, ended=True, end=state.end)
        epoch = known[0] + 1
        draft = Draft(CLAIM, msgspec.json.encode(Claim(self.key, epoch)))
        return Decision(Result.CLAIMED, (draft,), lifecycle, producer=(epoch, -1))

    def _same(self, state: StreamState) -> bool:
        there = None if state.spec is None else state.spec.about
        asked = self.spec.about
        return (
            there is not None
            and asked is not None
            and (there.type, there.text) == (asked.type, asked.text)
        )


@attrs.frozen(slots=True)
class NoteOpened:
    """Its opening message is stored.

    :ivar id: of that.
    """

    id: int

    def decide(self, state: StreamState, now_us: int, bounds: StreamBounds) -> Decision:
        """See `Decision`."""
        return _noted(state, now_us, bounds, Draft(OPENED, b"%d" % self.id))


@attrs.frozen(slots=True)
class Renew:
    """Its writer is there, and has nothing to say."""

    epoch: int

    def decide(self, state: StreamState, now_us: int, bounds: StreamBounds) -> Decision:
        """See `Decision`."""
        if not state.lives(now_us, bounds):
            return Decision(Result.NOT_THERE)
        if state.ended:
            return Decision(Result.ALREADY_ENDED, ended=True, end=state.end)
        known = state.producers[WRITER]
        if self.epoch < known[0]:
            return Decision(Result.STALE_EPOCH, producer=known)
        return _noted(state, now_us, bounds, Draft(READ, b"%d" % now_us))


@attrs.frozen(slots=True)
class Cancel:
    """Nobody wants the rest of it."""

    def decide(self, state: StreamState, now_us: int, bounds: StreamBounds) -> Decision:
        """See `Decision`."""
        return _end(state, now_us, bounds, End(CANCELLED))


@attrs.frozen(slots=True)
class Expire:
    """End it where its time is over.

    :ivar since_us: nobody could hear of its writer before, by whoever asks.
    """

    bounds: MessageBounds
    since_us: int

    def decide(self, state: StreamState, now_us: int, bounds: StreamBounds) -> Decision:
        """See `Decision`."""
        if state.spec is None or self.due_us(state) > now_us:
            return Decision(Result.NOTED, ended=state.ended, end=state.end)
        too_long = now_us >= state.spec.at_us + self.bounds.open_us
        return _end(state, now_us, bounds, End(FAILED, TOO_LONG if too_long else WRITER_GONE))

    def due_us(self, state: StreamState) -> int:
        """The moment at which it is over, unless something is heard before."""
        assert state.spec is not None
        heard_us = max(state.used_us, self.since_us)
        return min(heard_us + self.bounds.lease_us, state.spec.at_us + self.bounds.open_us)


def _noted(state: StreamState, now_us: int, bounds: StreamBounds, draft: Draft) -> Decision:
    if not state.lives(now_us, bounds):
        return Decision(Result.NOT_THERE)
    assert state.spec is not None
    lifecycle = bounds.lifecycle(state.spec, ended=state.ended)
    return Decision(Result.NOTED, (draft,), lifecycle, state.ended)


def _end(state: StreamState, now_us: int, bounds: StreamBounds, end: End) -> Decision:
    if not state.lives(now_us, bounds):
        return Decision(Result.NOT_THERE)
    assert state.spec is not None
    if state.ended:
        return Decision(Result.ENDED, ended=True, end=state.end)
    draft = Draft(END, msgspec.json.encode(end))
    lifecycle = bounds.lifecycle(state.spec, ended=True)
    return Decision(Result.ENDED, (draft,), lifecycle, ended=True, end=end)


# messages of its topic


def key_of(about: About, at_us: int) -> str:
    """The key of both messages: an id that comes again in its topic replaces nothing."""
    return f"~stream {about.id} {at_us}"


def opening(about: About) -> bytes:
    """Data of the opening message."""
    return _data(about, {"id": about.id, "state": "open"}, ())


def final(about: About, end: End, opened: int, chunks: Sequence[bytes]) -> bytes:
    """Data of the final message.

    :param chunks: all values that were written.
    """
    said = {"id": about.id, "state": end.how}
    if opened:
        said["opened"] = str(opened)
    if end.reason:
        said["reason"] = end.reason
    if end.error:
        said["error"] = end.error
    return _data(about, said, chunks)


def _data(about: About, stream: dict[str, str], chunks: Sequence[bytes]) -> bytes:
    data: dict[str, object] = {"stream": stream}
    if about.text:
        data["text"] = "".join([msgspec.json.decode(chunk, type=str) for chunk in chunks])
    else:
        data["items"] = [msgspec.Raw(chunk) for chunk in chunks]
    if bytes(about.meta) != bytes(NULL):
        data["meta"] = about.meta
    return msgspec.json.encode(data)
