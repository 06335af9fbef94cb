"""What the HTTP/3 layer says, and what it refuses to keep."""

from __future__ import annotations

import json

from aioquic.buffer import encode_uint_var
from aioquic.h3.connection import ErrorCode, FrameType, Setting
from aioquic.quic.events import ConnectionTerminated, StreamReset
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.http3 import Http3Config
from takotwist.streams.webtransport import WebTransportSession, webtransport
from tests.streams.http3.resources import Recorder
from tests.streams.http3.wire import Client, Net


async def idle(session: WebTransportSession) -> None:
    """A handler that waits for the end."""
    await session.wait_closed()


def closed_with(client: Client) -> int | None:
    """The error code of the connection's close, or `None`."""
    client.net.pump(1)
    for event in client.quic_events:
        if isinstance(event, ConnectionTerminated):
            return event.error_code
    return None


class FramingTests(SynchronousTestCase):
    """`Http3Framing`, which overrides private methods of aioquic: this is their pin."""

    def test_settings(self) -> None:
        """WebTransport is offered as draft 2, 7, 13 and 15 name it, and no dynamic table is."""
        client = Net(routes=[webtransport("/wt", idle)]).client()
        settings = client.h3.received_settings
        assert settings is not None
        for setting in (0x2B603742, 0xC671706A, 0x14E9CD29, 0x2C7CF000):
            self.assertEqual(settings[setting], 1)
        self.assertEqual(settings[Setting.H3_DATAGRAM], 1)
        self.assertEqual(settings[Setting.ENABLE_CONNECT_PROTOCOL], 1)
        self.assertEqual(settings[Setting.QPACK_MAX_TABLE_CAPACITY], 0)

    def test_settings_without_webtransport(self) -> None:
        """Without routes nothing of WebTransport is offered, and a CONNECT is answered 501."""
        client = Net(Recorder()).client()
        settings = client.h3.received_settings
        assert settings is not None
        self.assertNotIn(0x2B603742, settings)
        self.assertNotIn(Setting.H3_DATAGRAM, settings)
        stream = client.connect()
        client.net.pump()
        self.assertEqual(client.status(stream), 501)

    def test_endless_header_block(self) -> None:
        """A header block that never ends closes the connection before it costs memory."""
        client = Net(Recorder()).client()
        stream = client.quic.get_next_available_stream_id()
        head = encode_uint_var(FrameType.HEADERS) + encode_uint_var(10_000_000)
        client.quic.send_stream_data(stream, head + bytes(40_000))
        self.assertEqual(closed_with(client), ErrorCode.H3_EXCESSIVE_LOAD)

    def test_large_header_block(self) -> None:
        """One within reach, but over the bound, is answered 431, whole or not, on its stream;
        the requests beside it and after it are served."""
        for size in (1000, 3000, 8000):
            client = Net(Recorder(), config=Http3Config(max_header_bytes=1024)).client()
            streams = [client.request(), client.request(x_large="~" * size), client.request()]
            client.net.pump()
            self.assertEqual([client.status(one) for one in streams], [200, 431, 200], size)
            said = json.loads(client.body(streams[1]))
            self.assertEqual(said, {"error": "The request's head is too large."})
            self.assertEqual(client.headers(streams[1])[b"content-type"], b"application/json")
            self.assertTrue(client.ended(streams[1]))

    def test_rest_of_a_large_header_block(self) -> None:
        """What comes still of one that was refused is passed over, and costs nothing, for as
        long as it likes."""
        config = Http3Config(max_header_bytes=1024, idle_timeout=1000, keepalive=400)
        net = Net(Recorder(), config=config)
        client = net.client()
        stream = client.quic.get_next_available_stream_id()
        head = encode_uint_var(FrameType.HEADERS) + encode_uint_var(8000)
        client.quic.send_stream_data(stream, head + bytes(7000))
        net.pump(40)
        self.assertEqual(client.status(stream), 431)
        self.assertIsNone(closed_with(client))
        other = client.request()
        net.pump()
        self.assertEqual(client.status(other), 200)

    def test_many_fields(self) -> None:
        """So is one of too many lines; cookies that are written apart are one line."""
        client = Net(Recorder()).client()
        for count, status in ((100, 200), (101, 431)):
            stream = client.request(**{f"x-{number}": "y" for number in range(count)})
            client.net.pump()
            self.assertEqual(client.status(stream), status)

    def test_huge_peer_table(self) -> None:
        """A client that announces a huge dynamic table gets responses that use none."""
        net = Net(Recorder())
        client = net.stranger()
        client.h3._max_table_capacity = 2**30
        control = client.h3._local_control_stream_id
        assert control is not None
        settings = encode_uint_var(1) + encode_uint_var(2**30)
        # The settings that the client wrote at its birth, with another table size.
        client.quic._streams[control].sender._buffer[:] = b""
        client.quic._streams[control].sender.__init__(stream_id=control, writable=True)  # type: ignore[misc]
        client.quic.send_stream_data(
            control, b"\x00" + encode_uint_var(4) + encode_uint_var(len(settings)) + settings
        )
        net.pump()
        stream = client.request()
        net.pump()
        self.assertEqual(client.status(stream), 200)
        [connection] = net.server.protocol.connections
        framing = connection._streams.framing
        assert framing is not None
        self.assertEqual(framing.received_settings, {1: 0})

    def test_return_direction(self) -> None:
        """What comes back on a two-way stream of ours is bytes, and no HTTP/3 frames."""
        answers: list[bytes] = []

        async def ask(session: WebTransportSession) -> None:
            stream = session.open_bidi()
            await stream.send(b"question")
            answers.append(await stream.read_all(100))
            stream.finish()
            await session.wait_closed()

        client = Net(routes=[webtransport("/wt", ask)]).client()
        client.connect()
        client.net.pump()
        # 0x00 0x7f would be a DATA frame cut short, which closes a connection.
        client.quic.send_stream_data(1, b"\x00\x7fnot a frame", end_stream=True)
        self.assertIsNone(closed_with(client))
        self.assertEqual(answers, [b"\x00\x7fnot a frame"])

    def test_late_bytes_of_a_stream_that_is_over(self) -> None:
        """Bytes that come back on a stream of ours that was given up are dropped, not parsed."""

        async def give_up(session: WebTransportSession) -> None:
            stream = session.open_bidi()
            stream.write(b"question")
            await session.incoming_uni.next()
            stream.reset(1)
            stream.stop(2)
            await session.wait_closed()

        client = Net(routes=[webtransport("/wt", give_up)]).client()
        session = client.connect()
        client.net.pump()
        client.open(session, b"now", one_way=True)
        client.net.drop = lambda _: True  # so that the client does not know yet
        client.net.pump(0.01)
        client.quic.send_stream_data(1, b"\x00\x7ftoo late")
        client.net.pump(0.01)
        client.net.drop = lambda _: False
        self.assertIsNone(closed_with(client))
        self.assertIsNotNone(client.quic_event(StreamReset, 1))

    def test_signal_within_a_request(self) -> None:
        """The WebTransport signal in the middle of a request closes the connection."""
        client = Net(Recorder(), routes=[webtransport("/wt", idle)]).client()
        stream = client.quic.get_next_available_stream_id()
        client.h3.send_headers(
            stream,
            [
                (b":method", b"POST"),
                (b":scheme", b"https"),
                (b":authority", b"a"),
                (b":path", b"/"),
            ],
        )
        client.quic.send_stream_data(
            stream, encode_uint_var(FrameType.WEBTRANSPORT_STREAM) + encode_uint_var(0) + b"x"
        )
        self.assertEqual(closed_with(client), ErrorCode.H3_FRAME_ERROR)

    def test_session_id_that_is_none(self) -> None:
        """A stream of a session whose id can be no request closes the connection."""
        client = Net(routes=[webtransport("/wt", idle)]).client()
        client.open(3, b"x", one_way=True)
        self.assertEqual(closed_with(client), ErrorCode.H3_ID_ERROR)

    def test_stream_is_known_before_its_first_byte(self) -> None:
        """A client that opens a stream and lets the server speak first is heard."""

        async def greet(session: WebTransportSession) -> None:
            stream = await session.incoming_bidi.next()
            await stream.send(b"hello")
            await session.wait_closed()

        client = Net(routes=[webtransport("/wt", greet)]).client()
        session = client.connect()
        stream = client.open(session)
        client.net.pump()
        self.assertEqual(client.raw[stream], b"hello")

    def test_no_state_stays(self) -> None:
        """After a thousand requests and streams the framing remembers none of them."""

        async def echo(session: WebTransportSession) -> None:
            async for stream in session.incoming_bidi:
                await stream.send(await stream.read_all(100))
                stream.finish()

        client = Net(Recorder(), routes=[webtransport("/wt", echo)]).client()
        session = client.connect()
        for _ in range(10):
            for _ in range(50):
                client.request()
                client.open(session, b"x", end=True)
            client.net.pump(0.3)
        [connection] = client.net.server.protocol.connections
        framing = connection._streams.framing
        assert framing is not None
        requests = [key for key in framing._stream if not key & 3 and key != session]
        self.assertEqual(requests, [])
        self.assertEqual(list(connection._streams.requests), [session])
        self.assertEqual(connection._streams.raw, {})
        self.assertEqual(connection._streams._watchers, {})
