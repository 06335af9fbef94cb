"""The low-level reader: called, paused and resumed."""

from __future__ import annotations

from takotwist.streams.webtransport import StreamReset
from takotwist.streams.webtransport.error_codes import to_http3
from tests.streams.webtransport.test_stream import StreamCase


class Receiver:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.data = b""
        self.ends: list[Exception | None] = []

    def data_received(self, data: bytes) -> None:
        self.data += data

    def ended(self, error: Exception | None) -> None:
        self.ends.append(error)


class ByteReceiverTests(StreamCase):
    """`ReceiveSide.receive_by`."""

    def test_called(self) -> None:
        """It gets what waited, what comes, and the end once."""
        stream = self.incoming(b"one")
        receiver = Receiver()
        stream.receive_by(receiver)
        self.assertEqual(receiver.data, b"one")
        self.client.quic.send_stream_data(self.stream_id, b"two", end_stream=True)
        self.client.net.pump()
        self.assertEqual((receiver.data, receiver.ends), (b"onetwo", [None]))

    def test_pause(self) -> None:
        """Paused, it is not called; the client is held up; resumed, it gets everything."""
        stream = self.incoming()
        receiver = Receiver()
        stream.receive_by(receiver)
        stream.pause()
        self.client.quic.send_stream_data(self.stream_id, b"x" * 2_000_000, end_stream=True)
        self.client.net.pump(2)
        self.assertEqual(receiver.data, b"")
        [connection] = self.client.net.server.protocol.connections
        self.assertLessEqual(connection._quic.unread, 256 * 1024)
        stream.resume()
        self.client.net.pump(8)
        self.assertEqual((len(receiver.data), receiver.ends), (2_000_000, [None]))

    def test_reset(self) -> None:
        """It is told of a reset, once."""
        stream = self.incoming(b"one")
        receiver = Receiver()
        stream.receive_by(receiver)
        self.client.quic.reset_stream(self.stream_id, to_http3(4))
        self.client.net.pump()
        self.session.close()
        [error] = receiver.ends
        assert isinstance(error, StreamReset)
        self.assertEqual(error.code, 4)
