"""HTTP/3 with several workers, over real UDP ports: a connection stays with its worker."""

from __future__ import annotations

import os
import re
import signal
from typing import Any

from aioquic.h3.connection import ErrorCode
from aioquic.h3.events import H3Event
from aioquic.quic.events import ConnectionTerminated, QuicEvent, StreamReset
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from tests.sockets.http3_client import Http3Client
from tests.sockets.server_process import wait_until
from tests.sockets.supervised_process import SupervisedServer
from tests.sockets.test_server_http3 import Http3Case, Seen

EVENTS = "/channels/news"


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

    :ivar again: fires then: the server had begun to leave (RFC 9114 section 8.1).
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.again: Deferred[None] = Deferred()

    def _framed(self, event: QuicEvent) -> list[H3Event]:
        if isinstance(event, ConnectionTerminated) and not self.again.called:
            assert event.error_code == ErrorCode.H3_NO_ERROR, event
            self.again.callback(None)
        if isinstance(event, StreamReset) and not self.again.called:
            assert event.error_code == ErrorCode.H3_REQUEST_REJECTED, event
            self.again.callback(None)
        return super()._framed(event)


class WorkersHttp3Tests(Http3Case):
    """Three workers on one UDP port."""

    timeout = 60
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
            60.0,
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
        os.kill(self.server.workers[1], signal.SIGKILL)
        await self.logged("worker-1 is ready", 2)
        await deferLater(reactor, 0.5)  # type: ignore[arg-type]
        told = [client for client in clients if client.reset.called]
        others = [client for client in clients if not client.reset.called]
        answers = await DeferredList([client.request("/hello.txt") for client in others])
        self.assertEqual([status for _, (status, _) in answers], [200] * len(others))
        self.assertTrue(told, "twelve clients, and none on one of three workers")

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
            await DeferredList([asked, client.again], fireOnOneCallback=True)
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
