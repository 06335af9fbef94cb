"""HTTP responses and WebSockets of aiohttp, as facts for a machine.

Chosen because it is one library for both, with Unix sockets, and because it
hands out pings, by which a silent but living connection is told from a dead one.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from takotwist.client.errors import ProtocolBroken
from takotwist.client.machine.machine import Machine
from takotwist.client.machine.outcome import Action, Outcome, of_status, read_refusal
from takotwist.client.name_lookup import NameLookup
from takotwist.client.target import Target
from takotwist.client.wire import SUBPROTOCOL


class Line(Protocol):
    """Interface that a transport needs of whoever drives the machine."""

    outgoing: asyncio.Queue[str]

    def now(self) -> float:
        """The machine's time."""

    def tell(self, fact: Callable[..., None], *args: object) -> None:
        """Tell the machine a fact, and carry out what it wants then."""

    async def may_read(self) -> None:
        """Wait until the caller has room for more."""


class _OwnLookups(AbstractResolver):
    """Looks up names without a thread of the loop's pool, which is the app's."""

    def __init__(self) -> None:
        self._lookups: dict[tuple[str, int], NameLookup] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """See `AbstractResolver`."""
        # One entry: a session is for one server, and follows no redirect.
        lookup = self._lookups.setdefault((host, port), NameLookup(host, port))
        found = await asyncio.wrap_future(lookup.addresses())
        return [
            ResolveResult(
                hostname=host,
                host=place[0],
                port=port,
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, place in found
            if family in (socket.AF_UNSPEC, kind)
        ]

    async def close(self) -> None:
        """See `AbstractResolver`."""


def session_for(target: Target, ca_file: str | None) -> aiohttp.ClientSession:
    """A session for one server.

    :param ca_file: PEM of the only authority to trust, or `None` for the system's.
    """
    context: ssl.SSLContext | bool = ssl.create_default_context(cafile=ca_file) if ca_file else True
    connector: aiohttp.BaseConnector
    if target.socket_path is not None:
        connector = aiohttp.UnixConnector(target.socket_path)
    else:
        connector = aiohttp.TCPConnector(ssl=context, resolver=_OwnLookups())
    # No time limit of the library: a subscription is meant to last, and the
    # machine's watchdog covers the connecting as well.
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=None, sock_read=None)
    return aiohttp.ClientSession(connector=connector, timeout=timeout, raise_for_status=_upgraded)


class _Refused(Exception):
    """An upgrade was answered otherwise.

    :ivar outcome: what that means.
    """

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        super().__init__(outcome.sentence)


async def _upgraded(response: aiohttp.ClientResponse) -> None:
    # The only moment at which the library has the body of a refused upgrade.
    if response.status != 101:
        raise _Refused(await refusal(response))


async def refusal(response: aiohttp.ClientResponse) -> Outcome:
    """Meaning of an answer that is no stream."""
    code, sentence = read_refusal(await response.content.read(65_536))
    return of_status(
        response.status,
        code,
        sentence,
        response.headers.get("Retry-After"),
        time.time() * 1000,
        response.headers.get("Content-Type"),
    )


async def carry_sse(
    line: Line,
    machine: Any,
    session: aiohttp.ClientSession,
    url: str,
    headers: Mapping[str, str],
) -> None:
    """One SSE request, to its end."""
    try:
        async with session.get(
            url,
            headers={**headers, "Accept": "text/event-stream"},
            allow_redirects=False,
            raise_for_status=False,
        ) as response:
            outcome = await refusal(response) if response.status != 200 else None
            outcome = outcome or of_status(200, content_type=response.headers.get("Content-Type"))
            line.tell(machine.answered, outcome, line.now())
            if outcome.action is not Action.OPEN:
                return
            async for data in response.content.iter_any():
                line.tell(machine.bytes_received, data, line.now())
                await line.may_read()
    except (aiohttp.ClientError, OSError, TimeoutError) as failed:
        line.tell(machine.lost, line.now(), str(failed) or type(failed).__name__)
    else:
        line.tell(machine.ended, line.now())


async def carry_websocket(
    line: Line,
    machine: Machine,
    session: aiohttp.ClientSession,
    url: str,
    headers: Mapping[str, str],
    max_bytes: int,
    opened: Callable[[str | None], None],
) -> None:
    """One WebSocket, to its end.

    :param max_bytes: of one message.
    :param opened: tells the machine, with the subprotocol that the server chose.
    """
    try:
        async with session.ws_connect(
            url,
            protocols=(SUBPROTOCOL,),
            headers=headers,
            autoping=False,
            max_msg_size=max_bytes,
            compress=0,
            # A server that is dropped is often one that does not answer a close either.
            timeout=aiohttp.ClientWSTimeout(ws_close=0.5),
        ) as ws:
            opened(ws.protocol)
            writer = asyncio.create_task(_write(ws, line.outgoing))
            try:
                await _read(line, machine, ws)
            finally:
                writer.cancel()
                await asyncio.gather(writer, return_exceptions=True)
    except _Refused as refused:
        line.tell(machine.answered, refused.outcome, line.now())
    except (aiohttp.ClientError, OSError, TimeoutError) as failed:
        line.tell(machine.lost, line.now(), str(failed) or type(failed).__name__)


async def _read(line: Line, machine: Any, ws: aiohttp.ClientWebSocketResponse) -> None:
    while True:
        message = await ws.receive()
        match message.type:
            case aiohttp.WSMsgType.TEXT:
                line.tell(machine.text_received, message.data, line.now())
            case aiohttp.WSMsgType.PING:
                line.tell(machine.heard, line.now())
                await ws.pong(message.data)
            case aiohttp.WSMsgType.PONG:
                line.tell(machine.heard, line.now())
            case aiohttp.WSMsgType.CLOSE:
                line.tell(
                    machine.closed_by_peer, message.data or 1005, message.extra or "", line.now()
                )
                return
            case aiohttp.WSMsgType.BINARY:
                broken = ProtocolBroken("The server sent a binary frame.")
                line.tell(machine.broke, broken, line.now())
                return
            case aiohttp.WSMsgType.ERROR if isinstance(message.data, aiohttp.WebSocketError):
                broken = ProtocolBroken(f"The server broke the WebSocket protocol: {message.data}.")
                line.tell(machine.broke, broken, line.now())
                return
            case _:
                line.tell(machine.lost, line.now())
                return
        await line.may_read()


async def _write(ws: aiohttp.ClientWebSocketResponse, outgoing: asyncio.Queue[str]) -> None:
    while True:
        await ws.send_str(await outgoing.get())
