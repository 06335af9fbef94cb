"""A connection with many topics over WebTransport, as aioquic's client speaks it."""

from __future__ import annotations

import json
from typing import Any

from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import QuicEvent, StreamDataReceived
from twisted.internet.defer import Deferred

from takotwist.streams.webtransport.capsules import CapsuleParser, CloseSession
from tests.sockets.http3_client import Http3Client


class ChannelsClient(Http3Client):
    """One session with its one stream.

    :ivar status: of the answer to the CONNECT.
    :ivar closed: fires with the code and the reason of the session's close.
    """

    def __init__(self, reactor: Any, address: tuple[str, int], cadata: bytes) -> None:
        super().__init__(reactor, address, cadata)
        self.status: Deferred[int] = Deferred()
        self.closed: Deferred[tuple[int, str]] = Deferred()
        self._capsules = CapsuleParser()
        self._session = self._stream = -1
        self._buffer = b""
        self._frames: list[dict[str, Any]] = []
        self._waiting: Deferred[None] | None = None

    def _configure(self, configuration: QuicConfiguration) -> None:
        configuration.max_datagram_frame_size = 65536

    def _framing(self) -> H3Connection:
        return H3Connection(self._quic, enable_webtransport=True)

    async def open(self, **fields: str) -> int:
        """Ask for the session, and open its stream where there is one; the status."""
        await self.connected
        self._session = self._quic.get_next_available_stream_id()
        headers = [
            (b":method", b"CONNECT"),
            (b":protocol", b"webtransport"),
            (b":scheme", b"https"),
            (b":authority", b"localhost"),
            (b":path", b"/_tako/connect"),
            (b"wt-available-protocols", b'"tako.v1"'),
            *((name.encode(), value.encode()) for name, value in fields.items()),
        ]
        self._h3.send_headers(self._session, headers)
        self._flush()
        status = await self.status
        if status == 200:
            self._stream = self._h3.create_webtransport_stream(self._session)
            self._flush()
        return status

    def send(self, *frames: dict[str, Any]) -> None:
        """Write frames."""
        self.write(b"".join(json.dumps(frame).encode() + b"\n" for frame in frames))

    def write(self, data: bytes, end: bool = False) -> None:
        """Write bytes of the stream."""
        self._quic.send_stream_data(self._stream, data, end_stream=end)
        self._flush()

    async def receive(self) -> dict[str, Any]:
        """The next frame."""
        while not self._frames:
            self._waiting = Deferred()
            await self._waiting
        return self._frames.pop(0)

    def _framed(self, event: QuicEvent) -> list[H3Event]:
        if isinstance(event, StreamDataReceived) and event.stream_id == self._stream:
            # aioquic's own framing reads the answers of our stream wrongly.
            self._buffer += event.data
            *lines, self._buffer = self._buffer.split(b"\n")
            self._frames += [json.loads(line) for line in lines if line]
            if self._frames and self._waiting is not None and not self._waiting.called:
                self._waiting.callback(None)
            return []
        events = super()._framed(event)
        for each in events:
            if isinstance(each, HeadersReceived) and each.stream_id == self._session:
                self.fields = dict(each.headers)
                self.status.callback(int(self.fields[b":status"]))
            elif isinstance(each, DataReceived) and each.stream_id == self._session:
                for capsule in self._capsules.feed(each.data):
                    if isinstance(capsule, CloseSession):
                        self.closed.callback((capsule.code, capsule.reason))
        return events
