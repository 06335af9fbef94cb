"""HTTP exchanges on an asyncio loop.

On the loop's own streams.  Rejected: aiohttp, which an app would have to install to
publish.  Rule: everything belongs to the loop that made it; a publisher that is used from
several loops, one after the other or at once, has a set of connections for each.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import TypeVar

import attrs

from takotwist.app.awaited_exchange import MAX_IN_FLIGHT, AwaitedExchange, Turns
from takotwist.app.http_address import Address
from takotwist.app.http_exchange import MAX_IDLE
from takotwist.client.name_lookup import Found, NameLookup
from takotwist.codecs.http_answer import AnswerReader, HttpAnswer

#: Seconds for a connection; a name's addresses share them.
CONNECT_SECONDS = 5.0

T = TypeVar("T")

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@attrs.define(slots=True, eq=False)
class _Lane:
    """State of one loop: idle connections, and turns."""

    turns: Turns
    idle: list[Streams] = attrs.field(factory=list)


class AsyncioExchange(AwaitedExchange):
    """Exchanges with one server, from any loop."""

    def __init__(self, address: Address, in_flight: int = MAX_IN_FLIGHT) -> None:
        super().__init__(address, in_flight)
        self._lookup = NameLookup(address.host, address.port)
        self._lanes: dict[asyncio.AbstractEventLoop, _Lane] = {}
        self._lock = threading.Lock()

    def spawn(self, work: Coroutine[object, object, None]) -> Callable[[], Awaitable[None]]:
        """See `AwaitedExchange`; it is held by what waits."""
        task = asyncio.get_running_loop().create_task(work)
        return lambda: asyncio.shield(task)

    def now(self) -> float:
        """The loop's clock."""
        return asyncio.get_running_loop().time()

    def _turns(self) -> Turns:
        return self._lane().turns

    def _sleep(self, seconds: float) -> Awaitable[None]:
        return asyncio.sleep(seconds)

    def _call_later(self, seconds: float, action: Callable[[], None]) -> Callable[[], object]:
        return asyncio.get_running_loop().call_later(seconds, action).cancel

    async def _in_time(self, work: Awaitable[T], seconds: float) -> T:
        async with asyncio.timeout(seconds):
            return await work

    async def _exchanged(self, request: bytes) -> HttpAnswer:
        idle = self._lane().idle
        streams = self._take(idle) or await self._connected()
        incoming, outgoing = streams
        reader = AnswerReader()
        try:
            outgoing.write(request)
            answer = None
            while answer is None:
                data = await incoming.read(65_536)
                answer = reader.feed(data) if data else reader.ended()
        except BaseException:
            # Also where the caller was cancelled: the answer would be taken for the next one's.
            outgoing.transport.abort()
            raise
        if reader.reusable and len(idle) < MAX_IDLE:
            idle.append(streams)
        else:
            outgoing.close()
        return answer

    async def close(self) -> None:
        """Close what is idle on this loop; returns when it is closed."""
        idle = self._lane().idle
        while idle:
            _, outgoing = idle.pop()
            outgoing.close()
            try:
                await outgoing.wait_closed()
            except OSError:
                continue

    def _lane(self) -> _Lane:
        loop = asyncio.get_running_loop()
        with self._lock:
            if loop not in self._lanes:
                # The connections of each past `asyncio.run` would keep its loop alive.
                self._lanes = {
                    one: lane for one, lane in self._lanes.items() if not one.is_closed()
                }
                self._lanes[loop] = _Lane(Turns(asyncio.Semaphore(self._in_flight)))
            return self._lanes[loop]

    @staticmethod
    def _take(idle: list[Streams]) -> Streams | None:
        while idle:
            incoming, outgoing = idle.pop()
            if not (incoming.at_eof() or outgoing.is_closing()):
                return incoming, outgoing
            outgoing.transport.abort()
        return None

    async def _connected(self) -> Streams:
        address = self._address
        if address.unix_path is not None:
            return await asyncio.open_unix_connection(address.unix_path)
        failed: OSError = OSError("the name has no address")
        found = await asyncio.wrap_future(self._lookup.addresses())
        for number, one in enumerate(found):
            rest = len(found) - number
            try:
                # An address that does not answer must leave time for the next.
                async with asyncio.timeout(None if rest == 1 else CONNECT_SECONDS / len(found)):
                    return await self._reached(one)
            except ssl.SSLCertVerificationError:
                raise
            except OSError as unreachable:
                failed = unreachable
        raise failed

    async def _reached(self, found: Found) -> Streams:
        family, kind, protocol, _, place = found
        plain = socket.socket(family, kind, protocol)
        try:
            plain.setblocking(False)
            await asyncio.get_running_loop().sock_connect(plain, place)
        except BaseException:
            plain.close()
            raise
        if self._address.tls is None:
            return await asyncio.open_connection(sock=plain)
        # The address is found already; the name is for the certificate alone.
        return await asyncio.open_connection(
            sock=plain,
            ssl=self._address.tls,
            server_hostname=self._address.host,
            ssl_handshake_timeout=CONNECT_SECONDS,
        )
