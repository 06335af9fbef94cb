"""A channel over Server-Sent Events (protocol, section 4).

connection -> checks -> authorize -> attach -> head and cursor -> messages.
The head is sent when the subscription begins and not before, so a cursor that
is too old is a status and not a broken stream.
"""

from __future__ import annotations

from functools import partial

import attrs
import msgspec

from takotwist.codecs.sse import SseEvent, encode
from takotwist.codecs.tako_json import encode_message
from takotwist.codecs.wire_forms import SSE_CHUNKED, SSE_RAW
from takotwist.core.deadlines import Comments, Pulse
from takotwist.core.send_queue import SendQueue
from takotwist.core.topic import NEWEST, Message, Topic, beginning_text
from takotwist.errors import InternalError, MethodNotAllowed, Refusal
from takotwist.flow.presence_list import follow_roster
from takotwist.flow.session import Session
from takotwist.flow.topic_request import TopicRequest
from takotwist.streams.http.interface import Request
from takotwist.streams.sse.stream import EventStream
from takotwist.transports.admission import Admission
from takotwist.transports.request import read_channel_request

#: What a client is told to wait before it reconnects, in milliseconds.
RETRY_MS = 2_000

KEEPALIVE = encode(SseEvent(comment="keepalive"))


def preamble(
    topic: Topic,
    asked: int | None,
    cursor: int,
    reset: Refusal | None = None,
    connection: str | None = None,
) -> bytes:
    """The first block: reconnection delay, cursor, and whether the stream began anew.

    An `EventSource` takes its cursor from whole blocks only, and many other clients hand
    out every block as an event.  So where a cursor has to be set before the first message,
    it stands in an event with a name, which `onmessage` does not see, and with data that
    reads as a message, which the others can take for one of a type that they do not know.
    (A block with an id alone was the alternative: to those others an event without data.)

    :param asked: the cursor that the client came with; where it is continued from just
        there, it needs no other.
    :param connection: its name, where a client needs it to speak of itself (presence).
    """
    named = {} if connection is None else {"connection": connection}
    text = str(cursor) if cursor >= 0 else beginning_text(cursor)
    if reset is not None:
        data = msgspec.json.encode({"reason": reset.code, "cursor": text, **named})
        return encode(SseEvent(event="tako.reset", id=text, retry=RETRY_MS, data=data))
    if cursor == asked and connection is None:
        return encode(SseEvent(retry=RETRY_MS))
    # The message has no cursor of its own where there is none yet.
    at = max(cursor, 0)
    data = encode_message(Message(topic, at, "tako.open", msgspec.json.encode(named)))
    return encode(SseEvent(event="tako.open", id=text, retry=RETRY_MS, data=data))


@attrs.define(slots=True)
class SseTransport:
    """Serves subscriptions over SSE."""

    admission: Admission

    async def subscribe(self, request: Request, channel: str, *, roster: bool = False) -> None:
        """Answer a GET of a channel, or a HEAD.

        :param roster: who is there is followed.
        :param request: `twisted.web.iweb.IRequest`, nothing written yet.
        :raises Refusal: and then nothing has been written.
        """
        channel_request = read_channel_request(request)
        asked = await self.admission.ask(channel, channel_request)
        if roster:
            asked = asked.of_roster()
        self.admission.check_credentials(asked, channel_request)
        self.admission.check_origin(request)
        with self.admission.enter(request) as slot:
            admitted = await self.admission.authorize(
                asked,
                "presence" if roster else "subscribe",
                channel_request.presented,
                slot.address,
            )
            if request.method not in (b"GET", b"HEAD"):
                raise MethodNotAllowed(allow=("GET", "HEAD", "POST", "OPTIONS"))
            cursor = channel_request.cursor
            # A HEAD too: only who begins at the cursor knows whether it is too old.  Its stream
            # ends with its head.
            stream = SseStream(self.admission, request)
            session = slot.open("sse", stream.send_queue, stream.end)
            stream.session = session
            opened = partial(stream.opened, asked, cursor)
            try:
                reset = channel_request.reset_when_stale
                synced = partial(stream.synced, asked.topic)
                if roster:
                    await follow_roster(
                        session, admitted, cursor, reset, opened, stream.end, synced
                    )
                else:
                    on_live = synced if cursor == NEWEST or asked.keyed else None
                    await session.subscribe(
                        admitted, cursor, reset, opened, stream.end, on_live=on_live
                    )
                if stream.refusal is not None:
                    raise stream.refusal
            except BaseException:
                session.close("refused")
                raise
            if not session.closed:
                session.live_until(admitted.lifecycle.max_connection_lifetime_ms)
                stream.keep_alive(admitted.lifecycle.keepalive_interval_ms / 1000)


class SseStream:
    """One response, from its head to its end.

    :ivar refusal: why it was ended before it had a head, which is then the answer.
    """

    __slots__ = (
        "_admission",
        "_comments",
        "_request",
        "_stream",
        "refusal",
        "send_queue",
        "session",
    )

    session: Session

    def __init__(self, admission: Admission, request: Request) -> None:
        self._admission = admission
        self.send_queue: SendQueue = admission.new_send_queue()
        self._stream: EventStream | None = None
        self._request: Request | None = request
        self._comments: Comments | None = None
        self.refusal: Refusal | None = None

    def opened(
        self, about: TopicRequest, asked: int | None, cursor: int, reset: Refusal | None
    ) -> None:
        """Send the head and what comes first; see `preamble`."""
        present = about.definition.presence is not None and not about.roster
        connection = self.session.id if present else None
        request, self._request = self._request, None
        assert request is not None
        self._admission.answers.cors(request)
        # Not before: they know each other until it ends, and what is refused has no end.
        stream = EventStream(request, on_pause=self._paused, on_resume=self._resumed)
        self._stream = stream
        why = "answered HEAD" if request.method == b"HEAD" else "client left"
        stream.on_closed(partial(self.session.close, why))
        if stream.open(preamble(about.topic, asked, cursor, reset, connection)):
            form = SSE_CHUNKED if stream.framing == "chunked" else SSE_RAW
            self.send_queue.connect(
                form, stream.write_framed, at_once=stream.direct, send=stream.socket_send
            )

    def synced(self, topic: Topic) -> None:
        """All that was there at the beginning has been given."""
        if self._stream is not None:
            self.send_queue.flush()
            at = str(self.session.position(topic))
            data = msgspec.json.encode({"cursor": at})
            self._stream.write(encode(SseEvent(event="tako.synced", id=at, data=data)))

    def end(self, refusal: Refusal | None) -> None:
        """End the response: its client comes back with its cursor and is told then."""
        self.send_queue.flush()
        self.session.close("lifetime over" if refusal is None else refusal.code)
        if self._stream is None:
            self.refusal = refusal
            return
        if isinstance(refusal, InternalError):
            self._stream.abort()
        else:
            self._stream.close()

    def keep_alive(self, interval: float) -> None:
        """Write a comment whenever nothing was written for `interval` seconds."""
        self._comments = Comments(interval)
        self._beat()

    def _beat(self) -> None:
        assert self._comments is not None and self._stream is not None
        now = self._admission.seconds()
        pulse, again = self._comments.check(now, self.send_queue.written_at)
        if pulse is Pulse.SPEAK and not self._stream.paused:
            self._stream.write(KEEPALIVE)
            self.send_queue.written_at = now
        self.session.later("keepalive", again, self._beat)

    def _paused(self) -> None:
        self.send_queue.paused = True

    def _resumed(self) -> None:
        if not self.session.closed:
            self._admission.attacher.resumed(self.send_queue)
