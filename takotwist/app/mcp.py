"""An event store for servers of the Model Context Protocol, kept in durable streams.

A client whose connection is cut in the middle of an answer comes back with `Last-Event-ID`, and
is given what it missed and then the rest.  One stream holds what belongs to one request of one
session; it ends with the request's response.  Needs the package ``mcp``, which the extra of that
name installs.

Rule: whoever resumes follows the log until the response, and is not handed over to what the
transport has in memory: between the two a message could be lost.
"""

from __future__ import annotations

import logging
import re
import uuid
from collections import OrderedDict
from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import Any
from urllib.parse import quote, unquote

import attrs
import msgspec
from mcp.server.streamable_http import (
    MCP_SESSION_ID_HEADER,
    EventCallback,
    EventMessage,
    EventStore,
)
from mcp.types import JSONRPCError, JSONRPCMessage, JSONRPCResponse, jsonrpc_message_adapter

from takotwist.app.asgi import ASGIApp, Receive, Scope, Send
from takotwist.app.durable_stream import DurableStream, DurableStreams
from takotwist.errors import TakoError

#: Open requests whose streams are remembered, over all sessions.
MAX_OPEN = 10_000

_ID = re.compile(r"([^/\s]{1,1024})/([0-9]{16})/([0-9]{1,7})", re.ASCII)

_log = logging.getLogger("takotwist.mcp")


@attrs.define(slots=True)
class _Session:
    """:ivar name: `None` until the response to its first request tells it."""

    name: str | None


#: Whose request, or whose server task, this is: tasks inherit it from the request that made them.
_session: ContextVar[_Session | None] = ContextVar("takotwist_mcp_session", default=None)


@attrs.define(slots=True)
class _Open:
    """A stream that is written.

    :ivar lost: something of it could not be stored, so nobody may resume it.
    """

    producer: str = attrs.field(factory=lambda: uuid.uuid4().hex)
    number: int = 0
    made: bool = False
    lost: bool = False


class LogEventStore(EventStore):
    """Keeps the events of sessions in durable streams.

    ::

        store = LogEventStore(DurableStreams())
        app = store.around(server.streamable_http_app(event_store=store))

    Ids of requests are those of their session, and all sessions have one store; `around` is how it
    knows whose they are.

    :param streams: where they are kept.
    :param prefix: of their paths.
    :param ttl: seconds for which a client may stay away.
    """

    def __init__(self, streams: DurableStreams, *, prefix: str = "mcp", ttl: int = 3600) -> None:
        self._streams, self._prefix, self._ttl = streams, prefix, ttl
        self._open: OrderedDict[str, _Open] = OrderedDict()

    def around(self, app: ASGIApp) -> ASGIApp:
        """The app, with each request known by its session."""
        return _Sessions(app)

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        """Store one event, or where the stream is now.

        :return: an id; empty, which is none, where it could not be stored.  An exception here
            would end the session for good.
        """
        session = _known_session()
        if session.name is None:
            # The answer to the first request: without a name nobody can come back for it.
            return ""
        stream = self._at(session.name, stream_id)
        mine = self._open.setdefault(stream.path, _Open())
        self._open.move_to_end(stream.path)
        if len(self._open) > MAX_OPEN:
            self._open.popitem(last=False)
        try:
            offset = await self._stored(stream, mine, stream_id, message)
        except TakoError as failed:
            _log.warning("An MCP message is delivered and cannot be resumed: %s", failed)
            mine.lost = True
            return ""
        return _id(stream_id, offset, 0) if offset else ""

    async def _stored(
        self, stream: DurableStream, mine: _Open, stream_id: str, message: JSONRPCMessage | None
    ) -> str:
        """:return: the offset behind it, or empty."""
        if mine.lost:
            await stream.delete()
            return ""
        if not mine.made:
            offset = (await stream.create(ttl=self._ttl)).offset
            mine.made = True
            if message is None:
                return offset
        if message is None:
            return (await stream.read("now")).offset
        ends = isinstance(message, JSONRPCResponse | JSONRPCError) and str(message.id) == stream_id
        number = mine.number
        mine.number += 1
        body = message.model_dump_json(by_alias=True, exclude_unset=True)
        page = await stream.append(body, end=ends, producer=(mine.producer, number))
        if ends:
            self._open.pop(stream.path, None)
        return page.offset

    async def replay_events_after(
        self, last_event_id: str, send_callback: EventCallback
    ) -> str | None:
        """Send what came after an event, and what comes, until the stream has ended.

        :return: `None`: nothing is left for the transport to send.
        """
        session, found = _known_session(), _ID.fullmatch(last_event_id)
        if session.name is None or found is None:
            return None
        name, base, seen = found[1], found[2], int(found[3])
        stream_id = unquote(name)
        stream = self._at(session.name, stream_id)
        try:
            async for page in stream.follow(base):
                if self._is_lost(stream):
                    return None
                values = msgspec.json.decode(page.data or b"[]", type=list[msgspec.Raw])
                for number, value in enumerate(values, 1):
                    if number > seen:
                        last = number == len(values)
                        at = (page.offset, 0) if last else (base, number)
                        message = jsonrpc_message_adapter.validate_json(bytes(value))
                        await send_callback(EventMessage(message, _id(stream_id, *at)))
                base, seen = page.offset, 0
        except TakoError as failed:
            # Gone, or of another server: the client is told by the end of its event stream.
            _log.info("An MCP stream cannot be resumed: %s", failed)
        return None

    def _at(self, session: str, stream_id: str) -> DurableStream:
        path = f"{self._prefix}/~{quote(session, safe='')}/~{quote(stream_id, safe='')}"
        return self._streams.at(path, "application/json")

    def _is_lost(self, stream: DurableStream) -> bool:
        mine = self._open.get(stream.path)
        return mine is not None and mine.lost


@attrs.frozen(slots=True)
class _Sessions:
    """An ASGI application around that of an MCP server."""

    _app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        session = _Session(_named(scope["headers"]))

        async def noting(message: MutableMapping[str, object]) -> None:
            if message["type"] == "http.response.start" and session.name is None:
                session.name = _named(message.get("headers", ()))
            await send(message)

        token = _session.set(session)
        try:
            await self._app(scope, receive, noting)
        finally:
            _session.reset(token)


def _named(headers: Any) -> str | None:
    wanted = MCP_SESSION_ID_HEADER.encode()
    for name, value in headers:
        if bytes(name).lower() == wanted:
            return bytes(value).decode("latin-1")
    return None


def _known_session() -> _Session:
    session = _session.get()
    if session is None:
        raise RuntimeError("the app is not wrapped: serve store.around(app)")
    return session


def _id(stream_id: str, offset: str, number: int) -> str:
    """An event's id: its stream, an offset, and how many events behind that."""
    return f"{quote(stream_id, safe='')}/{offset}/{number}"
