"""``<base><channel>/streams``: streamed messages of a topic, read, cancelled and written.

Reads are those of the Durable Streams protocol, and whoever may subscribe to the topic may read.
A page may cancel where the app lets it; all else needs a publish key.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal
from urllib.parse import unquote

import attrs
import msgspec

from takotwist.codecs.query import MAX_ERROR_LENGTH, MAX_KEY_LENGTH
from takotwist.codecs.tako_json import check_type, payload
from takotwist.core.authorization import Grant, Operation
from takotwist.core.durable_stream import NULL, About, End, offset_of
from takotwist.core.stream_change import Result, Write
from takotwist.core.streamed_message import ENDED, FAILED, stream_of
from takotwist.errors import (
    BodyInvalid,
    MessageTooLarge,
    MethodNotAllowed,
    NotFound,
    Refusal,
    StreamEnded,
    StreamGap,
)
from takotwist.facades.durable_streams.fields import SHOWN, closes, read_producer
from takotwist.facades.durable_streams.reading import StreamReader, say_end
from takotwist.flow.authorize import Authorized
from takotwist.flow.streamed_messages import Opened, StreamedMessages
from takotwist.flow.topic_request import TopicRequest
from takotwist.streams.http.interface import BodyRequest, ReadableRequest, Request
from takotwist.transports.admission import Admission
from takotwist.transports.request import (
    ChannelRequest,
    header_text,
    read_channel_request,
    whole_body,
)

METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS")

#: Bytes of `meta`, and of a request that opens a message beside it.
MAX_META, ENVELOPE_BYTES = 4096, 1024

#: What an id may be; a segment of a path.
_ID = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._~-]{1,64}", re.ASCII)

_FIELDS = ("offset", "live", "cursor")


class _Opening(msgspec.Struct):
    type: str
    of: Literal["text", "values"] = "text"
    meta: msgspec.Raw = NULL
    resume: bool = False


_OPENING = msgspec.json.Decoder(_Opening)


@attrs.define(slots=True)
class MessageRoutes:
    """Answers requests about the streamed messages of a topic.

    :ivar may_publish: raises a `Refusal` where a request shows no publish key.
    :ivar cost: counts requests against the rate of a publish key.
    :ivar max_append_bytes: of one request.
    """

    admission: Admission
    messages: StreamedMessages
    reader: StreamReader
    may_publish: Callable[[ReadableRequest], None]
    cost: Callable[[str, int], None]
    max_append_bytes: int

    async def answer(self, request: BodyRequest, channel: str, segment: str | None) -> None:
        """Answer one request.

        :param segment: of the path, behind ``streams/``.
        :raises Refusal: and then nothing has been written.
        """
        name = None if segment is None else read_id(segment)
        channel_request = read_channel_request(request, extra=_FIELDS)
        asked = await self.admission.ask(channel, channel_request)
        if request.method in (b"GET", b"HEAD"):
            admitted = await self._admit(request, asked, channel_request, "subscribe")
            if name is None:
                await self._list(request, asked)
                return
            self._allow_page(request)
            stream = attrs.evolve(asked, topic=stream_of(asked.topic, name))
            await self.reader.answer(request, attrs.evolve(admitted, asked=stream))
        elif name is None:
            raise MethodNotAllowed(allow=("GET", "HEAD", "OPTIONS"))
        elif request.method == b"DELETE":
            await self._cancel(request, asked, channel_request, name)
        elif request.method in (b"PUT", b"POST"):
            self.may_publish(request)
            self.cost(request.getHeader("authorization") or "", 1)
            write = self._open if request.method == b"PUT" else self._write
            try:
                await write(request, asked, name)
            except (StreamEnded, StreamGap) as refusal:
                self._explain(request, refusal)
                raise
        else:
            raise MethodNotAllowed(allow=METHODS)

    async def _list(self, request: Request, asked: TopicRequest) -> None:
        found = await self.messages.open_in(asked.topic)
        self._json(request, {"streams": [_listed(one) for one in found]})

    async def _cancel(
        self, request: Request, asked: TopicRequest, channel_request: ChannelRequest, id: str
    ) -> None:
        await self._admit(request, asked, channel_request, "cancel")
        decision = await self.messages.cancel(asked.topic, id)
        self._allow_page(request)
        say_end(request, decision.end)
        request.setResponseCode(204)
        request.finish()

    async def _open(self, request: BodyRequest, asked: TopicRequest, id: str) -> None:
        key = header_text(request, "idempotency-key") or ""
        if not 1 <= len(key) <= MAX_KEY_LENGTH:
            raise BodyInvalid(f"Idempotency-Key must have 1 to {MAX_KEY_LENGTH} characters.")
        body = await whole_body(request, MAX_META + ENVELOPE_BYTES)
        try:
            said = _OPENING.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as bad:
            raise BodyInvalid(
                f"The body must be {{'type','of'?,'meta'?,'resume'?}}: {bad}"
            ) from None
        about = about_of(asked, id, said.type, key, text=said.of == "text", meta=bytes(said.meta))
        opened = await self.messages.open(asked, about, resume=said.resume)
        state = opened.state
        answer = {
            "id": id,
            "opened": str(state.opened),
            "epoch": opened.epoch,
            "size": state.data,
            "offset": offset_of(state.tail),
            "leaseMs": self.messages.bounds.lease_us // 1000,
        }
        self._json(request, answer, 201 if opened.created else 200)

    async def _write(self, request: BodyRequest, asked: TopicRequest, id: str) -> None:
        producer = read_producer(request, seq=not _renews(request))
        if producer is None:
            raise BodyInvalid("Producer-Id, Producer-Epoch and Producer-Seq are missing.")
        if _renews(request):
            await self.messages.renew(asked.topic, id, producer.epoch)
            self._json(request, {})
            return
        body = await whole_body(request, self.max_append_bytes)
        end = closes(request)
        write = Write(
            body,
            header_text(request, "content-type"),
            end,
            producer,
            how=_end(request) if end else None,
        )
        decision = await self.messages.write(asked.topic, id, write)
        if decision.ended:
            say_end(request, decision.end)
        repeated = decision.result is Result.REPEATED
        self._json(request, {"repeated": True} if repeated else {})

    async def _admit(
        self,
        request: Request,
        asked: TopicRequest,
        channel_request: ChannelRequest,
        operation: Operation,
    ) -> Authorized:
        """Let whoever asks in.

        :raises Refusal: they may not.
        """
        try:
            self.may_publish(request)
        except Refusal as refusal:
            no_key = refusal
        else:
            return Authorized(asked, Grant())
        admission = self.admission
        admission.check_credentials(asked, channel_request)
        admission.check_origin(request)
        address = admission.address(request)
        if operation != "subscribe":
            if not asked.definition.verified:
                # Anybody may read; who may end it for all is nobody's word.
                raise no_key
            admission.frame_cost(address, 1.0)
        return await admission.authorize(asked, operation, channel_request.presented, address)

    @staticmethod
    def _explain(request: Request, refusal: StreamEnded | StreamGap) -> None:
        if isinstance(refusal, StreamGap):
            headers = request.responseHeaders
            headers.setRawHeaders("Producer-Expected-Seq", [str(refusal.expected)])
        else:
            say_end(request, End(refusal.how, refusal.reason))

    def _allow_page(self, request: Request) -> None:
        self.admission.answers.cors(request)
        headers = request.responseHeaders
        if headers.hasHeader("Access-Control-Allow-Origin"):
            headers.setRawHeaders("Access-Control-Expose-Headers", [", ".join(SHOWN)])

    def _json(self, request: Request, body: object, status: int = 200) -> None:
        self._allow_page(request)
        self.admission.answers.json(request, msgspec.json.encode(body), status)


def read_id(segment: str) -> str:
    """The id of a message, of a path.

    :raises NotFound: it can be none.
    """
    found = unquote(segment, errors="replace")
    if not _ID.fullmatch(found):
        raise NotFound
    return found


def about_of(
    asked: TopicRequest, id: str, type: str, key: str, *, text: bool, meta: bytes
) -> About:
    """Check the description of a message that is to be begun.

    :raises BodyInvalid: :raises MessageTooLarge: names the field.
    """
    check_type(type)
    if len(meta) > MAX_META:
        raise MessageTooLarge(f"meta may have {MAX_META} bytes.")
    said = msgspec.Raw(payload(msgspec.Raw(meta), "meta"))
    topic = asked.topic
    return About(topic.channel, dict(topic.params), id, type, key, text, said)


def _renews(request: ReadableRequest) -> bool:
    return (header_text(request, "stream-renew") or "").strip().lower() == "true"


def _end(request: ReadableRequest) -> End:
    how = (header_text(request, "stream-end") or ENDED).strip()
    if how not in (ENDED, FAILED):
        raise BodyInvalid(f"Stream-End must be '{ENDED}' or '{FAILED}'.")
    try:
        error = unquote(header_text(request, "stream-error") or "", errors="strict")
    except UnicodeDecodeError:
        raise BodyInvalid("Stream-Error must be percent-encoded UTF-8.") from None
    if len(error) > MAX_ERROR_LENGTH or (error and how != FAILED):
        raise BodyInvalid(f"Stream-Error is at most {MAX_ERROR_LENGTH} characters, of what failed.")
    return End(how, FAILED if how == FAILED else "", error)


def _listed(one: Opened) -> dict[str, object]:
    said: dict[str, object] = {
        "id": one.about.id,
        "type": one.about.type,
        "opened": str(one.state.opened),
    }
    if bytes(one.about.meta) != bytes(NULL):
        said["meta"] = one.about.meta
    return said
