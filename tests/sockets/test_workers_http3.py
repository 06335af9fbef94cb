"""HTTP/3 with several workers, over real UDP ports: a connection stays with its worker."""

from __future__ import annotations

import os
import re
import signal
from typing import Any

from aioquic.h3.connection import ErrorCode
from aioquic.h3.events import H3Event
from aioquic.quic.events import ConnectionTerminated, QuicEvent, StreamReset
from aioquic.quic.packet import QuicErrorCode
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.threads import deferToThread

from tests.sockets.http3_client import Http3Client
from tests.sockets.server_process import wait_until
from tests.sockets.supervised_process import SupervisedServer
from tests.sockets.test_server_http3 import Http3Case, Seen

EVENTS = "/channels/news"

#: Closes of a server that leaves, after the handshake and during it: whether by the application,
#: and the code.
LEAVING = {(True, ErrorCode.H3_NO_ERROR), (False, QuicErrorCode.CONNECTION_REFUSED)}


class MovingClient(Http3Client):
    """A client whose address changes, as behind a NAT that forgets."""

    moving = False

    def startProtocol(self) -> None:
        """See `Http3Client`."""
        if not self.moving:
            super().startProtocol()

    async def move(self) -> None:
        """Go on from another port."""
        assert self.transport is not None
        self.moving = True
        await self.transport.stopListening()
        reactor.listenUDP(0, self, interface="127.0.0.1")  # type: ignore[attr-defined]


class PoliteClient(Http3Client):
    """A client that hears when its request is to be made again, elsewhere.

    :ivar again: fires then: the server had begun to leave (RFC 9114 section 8.1), or took nobody
        any more (RFC 9000 section 20.1).  Fails where it was told anything else.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.again: Deferred[None] = Deferred()
        self.reset.addCallback(lambda _: self._told(False, "a stateless reset"))

    def _framed(self, event: QuicEvent) -> list[H3Event]:
        if isinstance(event, ConnectionTerminated):
            self._told((event.frame_type is None, event.error_code) in LEAVING, event)
        if isinstance(event, StreamReset):
            self._told(event.error_code == ErrorCode.H3_REQUEST_REJECTED, event)
        return super()._framed(event)

    def _told(self, good: bool, what: object) -> None:
        # Never raised: this runs in the reactor, which would log it, and the test wait on.
        if self.again.called or self._closed:
            return
        if good:
            self.again.callback(None)
        else:
            self.again.errback(AssertionError(what))


def process_of(client: Http3Client) -> int:
    """The number of the process that gave out the connection id which the client uses."""
    number: int = client._quic._peer_cid.cid[0]
    return number


class WorkersHttp3Tests(Http3Case):
    """Three workers on one UDP port."""

    timeout = 180
    #: They end when the test does, and not a drain later.
    config = "drain_seconds = 2\n"

    def make_server(self) -> SupervisedServer:
        """See `Http3Case`."""
        return SupervisedServer(workers=3, tls=True)

    def logged(self, pattern: str, count: int = 1) -> Deferred[Any]:
        """Fires when the log has it so often."""
        return deferToThread(
            wait_until,
            lambda: len(re.findall(pattern, self.server.log)) >= count,
            f"{pattern!r} in the log",
            120.0,
        )

    async def test_moved(self) -> None:
        """A connection is served by its worker from whatever address; no request is lost."""
        client = self.client(MovingClient)
        self.assertEqual(await client.request("/hello.txt"), (200, b"hello over QUIC"))
        seen = Seen()
        client.request(EVENTS, on_data=seen.came)
        await seen.until(b"\n")
        for _ in range(10):
            await client.move()
            self.assertEqual(await client.request("/hello.txt"), (200, b"hello over QUIC"))
        # The stream of the beginning is one of the same connection still: the worker that has it
        # ends it at its stop.
        self.assertFalse(client.reset.called)
        self.assertEqual(await deferToThread(self.server.stop), 0)
        self.server.assert_clean()

    async def test_worker_away(self) -> None:
        """While a worker is not there the others take who comes to its socket."""
        self.server.failing.write_text("1")
        os.kill(self.server.workers[2], signal.SIGKILL)
        await self.logged("worker-2 was killed by SIGKILL")
        answers = [self.client().request("/hello.txt") for _ in range(12)]
        self.assertEqual(
            [one for _, one in await DeferredList(answers)], [(200, b"hello over QUIC")] * 12
        )
        self.server.failing.unlink()
        await self.logged("worker-2 is ready", 2)
        self.assertEqual(await self.client().request("/hello.txt"), (200, b"hello over QUIC"))

    async def test_killed(self) -> None:
        """Who was connected to a worker that was killed learns it at once, and nobody else."""
        clients = [self.client() for _ in range(12)]
        for client in clients:
            await client.request("/hello.txt")
            client.request(EVENTS)
        # Which one has them the kernel decides, by their ports: it may be none for a worker.
        gone = process_of(clients[0])
        os.kill(self.server.workers[gone + 1], signal.SIGKILL)
        await self.logged(f"worker-{gone + 1} is ready", 2)
        await DeferredList([one.reset for one in clients if process_of(one) == gone])
        others = [client for client in clients if process_of(client) != gone]
        answers = await DeferredList([client.request("/hello.txt") for client in others])
        self.assertEqual([status for _, (status, _) in answers], [200] * len(others))
        self.assertFalse(any(client.reset.called for client in others))

    async def test_rolling_restart(self) -> None:
        """Who connects in a rolling restart is served; who is connected is told to leave."""
        before = self.client()
        await before.request("/hello.txt")
        self.server.signal(signal.SIGUSR2)
        over = self.logged("rolling restart: done")
        answered = again = 0
        while not over.called:
            client = self.client(PoliteClient)
            asked = client.request("/hello.txt")
            await DeferredList([asked, client.again], fireOnOneCallback=True, fireOnOneErrback=True)
            if client.again.called:
                again += 1
            else:
                self.assertEqual(asked.result, (200, b"hello over QUIC"))
                answered += 1
            await client.close()
        self.assertGreater(answered, 5)
        # At most those who came to each in its last moment.
        self.assertLessEqual(again, 3)
        self.server.assert_clean()
