"""Paths and methods of the protocol, who may use them, and the answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol
from urllib.parse import unquote

import attrs
import msgspec

from takotwist.core.authorization import Grant, Operation
from takotwist.core.channel import ChannelDefinition
from takotwist.core.durable_stream import offset_of, topic_of
from takotwist.core.stream_change import Create, Delete, Result, Write
from takotwist.errors import (
    CredentialsMissing,
    MessageTooLarge,
    MethodNotAllowed,
    NotFound,
    Overloaded,
    ParamsInvalid,
    Refusal,
    VerifyRejected,
)
from takotwist.facades.durable_streams.fields import SENT, SHOWN, read_create, read_write
from takotwist.facades.durable_streams.reading import StreamReader
from takotwist.flow.authorize import Authorized
from takotwist.flow.durable_streams import Outcome, StreamService
from takotwist.flow.topic_request import TopicRequest
from takotwist.streams.http.interface import BodyRequest, ReadableRequest, Request
from takotwist.transports.admission import Admission
from takotwist.transports.request import read_channel_request, whole_body

METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS")

#: First segment of paths that the protocol keeps for its subscriptions.
RESERVED = "__ds"

_OPERATIONS: Mapping[bytes, Operation] = {
    b"GET": "read",
    b"HEAD": "read",
    b"PUT": "create",
    b"POST": "append",
    b"DELETE": "delete",
}

_STATUS = {
    Result.CREATED: 201,
    Result.THERE: 200,
    Result.APPENDED: 204,
    Result.REPEATED: 204,
    Result.ENDED: 204,
    Result.DELETED: 204,
    Result.DIFFERENT: 409,
    Result.ALREADY_ENDED: 409,
    Result.OTHER_TYPE: 409,
    Result.BAD_BODY: 400,
    Result.STALE_EPOCH: 403,
    Result.BAD_EPOCH: 400,
    Result.GAP: 409,
    Result.OLD_SEQ: 409,
}

#: Answers that are no refusals.
_WELL = {
    Result.CREATED,
    Result.THERE,
    Result.APPENDED,
    Result.REPEATED,
    Result.ENDED,
    Result.DELETED,
}


class StreamSettings(Protocol):
    """Settings of the section ``streams`` of the configuration."""

    @property
    def path(self) -> str: ...
    @property
    def channel(self) -> str: ...
    @property
    def max_append_bytes(self) -> int: ...


@attrs.define(slots=True)
class StreamRoutes:
    """Answers every request below the path of streams.

    :ivar may_write: raises a `Refusal` where a request shows no publish key; does nothing on the
        private listener.
    :ivar cost: counts changes against the rate of a publish key, as publishes are counted.
    :ivar origin: of the server as this client has reached it, where it is known.
    """

    admission: Admission
    streams: StreamService
    reader: StreamReader
    settings: StreamSettings
    may_write: Callable[[ReadableRequest], None]
    cost: Callable[[str, int], None]
    origin: Callable[[ReadableRequest], str | None]

    def start(self) -> None:
        """See `Facade`: nothing runs by itself."""

    def stop(self) -> None:
        """See `Facade`."""

    def serves(self, path: bytes) -> bool:
        """See `Facade`."""
        return path.startswith(self.settings.path.encode() + b"/")

    async def answer(self, request: BodyRequest) -> None:
        """See `Facade`."""
        headers = request.responseHeaders
        headers.setRawHeaders("Cross-Origin-Resource-Policy", ["cross-origin"])
        headers.setRawHeaders("X-Content-Type-Options", ["nosniff"])
        path = self._path(request.path)
        if request.method == b"OPTIONS":
            await self._preflight(request)
            return
        operation = _OPERATIONS.get(request.method)
        if operation is None:
            raise MethodNotAllowed(allow=METHODS)
        self.admission.check_origin(request)
        admitted = await self._admit(request, path, operation)
        if operation == "read":
            self._allow_page(request)
            await self.reader.answer(request, admitted)
            return
        topic = admitted.asked.topic
        if operation == "delete":
            outcome = await self.streams.change(topic, Delete())
            self._tell(request, outcome, producer=False)
            return
        body = await whole_body(request, self.settings.max_append_bytes)
        if operation == "create":
            create = read_create(request, body, self.streams.now_us)
            outcome = await self.streams.change(topic, create)
            self._say_created(request, create, outcome)
            self._tell(request, outcome, producer=False)
        else:
            write = read_write(request, body)
            outcome = await self.streams.change(topic, write)
            self._tell(request, outcome, producer=write.producer is not None, write=write)

    def _path(self, path: bytes) -> str:
        """The stream's path.

        :raises NotFound: it can be none.
        """
        text = path.decode("latin-1")[len(self.settings.path) + 1 :]
        try:
            name = unquote(text, errors="strict")
        except UnicodeDecodeError:
            raise NotFound from None
        segments = name.split("/")
        if not name.isprintable() or "" in segments or segments[0] == RESERVED:
            raise NotFound
        if "." in segments or ".." in segments:
            raise NotFound
        return name

    async def _admit(self, request: Request, path: str, operation: Operation) -> Authorized:
        """Let a client in, as the app decides; who has a publish key may do everything.

        :raises Refusal: it may not.
        """
        topic = topic_of(path)
        settings, admission = self.settings, self.admission
        definition = ChannelDefinition(name="streams")
        if settings.channel:
            definition = await admission.authorizing.find(settings.channel)
        no_key: Refusal | None = None
        try:
            self.may_write(request)
        except (CredentialsMissing, VerifyRejected) as refusal:
            no_key = refusal
        if no_key is None:
            if operation != "read":
                self.cost(request.getHeader("authorization") or "", 1)
            return self._of(TopicRequest(definition, {"path": path}, topic))
        if not settings.channel:
            raise no_key
        asked = admission.authorizing.bind(definition, {"path": path})
        if not definition.verified:
            if operation != "read":
                raise no_key
            return self._of(attrs.evolve(asked, topic=topic))
        presented = read_channel_request(request).presented
        address = admission.address(request)
        if operation != "read":
            # As a client's frame, by address.
            admission.frame_cost(address, 1.0)
        admitted = await admission.authorize(asked, operation, presented, address)
        return attrs.evolve(admitted, asked=attrs.evolve(asked, topic=topic))

    def _of(self, asked: TopicRequest) -> Authorized:
        size = len(asked.topic.key)
        most = self.admission.authorizing.settings.limits.max_topic_bytes
        if size > most:
            raise ParamsInvalid(f"The path of a stream may make a name of {most} bytes here.")
        return Authorized(asked, Grant())

    def _allow_page(self, request: Request) -> None:
        self.admission.answers.cors(request)
        headers = request.responseHeaders
        if headers.hasHeader("Access-Control-Allow-Origin"):
            headers.setRawHeaders("Access-Control-Expose-Headers", [", ".join(SHOWN)])

    async def _preflight(self, request: Request) -> None:
        header = None
        if self.settings.channel:
            definition = await self.admission.authorizing.find(self.settings.channel)
            declared = definition.credentials
            header = declared.header_name if declared else None
        self.admission.answers.preflight(request, header, METHODS, SENT)

    def _say_created(self, request: Request, create: Create, outcome: Outcome) -> None:
        if outcome.result not in (Result.CREATED, Result.THERE):
            return
        headers = request.responseHeaders
        headers.setRawHeaders("Content-Type", [create.spec.content_type])
        if outcome.result is Result.CREATED:
            here = (self.origin(request) or "") + request.path.decode("latin-1")
            headers.setRawHeaders("Location", [here])

    def _tell(
        self, request: Request, outcome: Outcome, *, producer: bool, write: Write | None = None
    ) -> None:
        result, decision = outcome.result, outcome.decision
        self._allow_page(request)
        headers = request.responseHeaders
        if result is Result.NOT_THERE:
            raise NotFound("There is no stream at this address.")
        if result is Result.FULL:
            most = self.streams.bounds.max_bytes
            raise MessageTooLarge(f"A stream may have {most} bytes here.")
        if result is Result.TOO_MANY_PRODUCERS:
            raise Overloaded("The stream has too many producers.")
        if outcome.tail and result is not Result.DELETED:
            headers.setRawHeaders("Stream-Next-Offset", [offset_of(outcome.tail)])
        if decision.ended:
            headers.setRawHeaders("Stream-Closed", ["true"])
        if decision.producer is not None:
            epoch, number = decision.producer
            headers.setRawHeaders("Producer-Epoch", [str(epoch)])
            if result is Result.GAP:
                assert write is not None and write.producer is not None
                headers.setRawHeaders("Producer-Expected-Seq", [str(number)])
                headers.setRawHeaders("Producer-Received-Seq", [str(write.producer.seq)])
            elif number >= 0:
                headers.setRawHeaders("Producer-Seq", [str(number)])
        status = _STATUS[result]
        if result is Result.APPENDED and producer:
            status = 200
        if result not in _WELL:
            said = {"error": decision.why or f"Refused: {result.value}.", "code": _code(result)}
            self.admission.answers.json(request, msgspec.json.encode(said), status)
            return
        headers.setRawHeaders("Cache-Control", ["no-store"])
        request.setResponseCode(status)
        if status != 204:
            headers.setRawHeaders("Content-Length", ["0"])
        request.finish()


def _code(result: Result) -> str:
    return "stream-" + result.name.lower().replace("_", "-")
