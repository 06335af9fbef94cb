from __future__ import annotations

from aioquic.buffer import Buffer
from aioquic.quic.configuration import SMALLEST_MAX_DATAGRAM_SIZE
from aioquic.quic.crypto import CryptoPair
from aioquic.quic.packet import (
    QuicErrorCode,
    QuicFrameType,
    QuicHeader,
    QuicPacketType,
    QuicProtocolVersion,
    get_retry_integrity_tag,
    pull_quic_header,
)
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.http3.stateless import (
    LEAST_RESET,
    RESET,
    TOKEN,
    ResetTokens,
    RetryTokens,
    negotiate_version,
    refuse,
)

ADDRESS = ("192.0.2.1", 4433)
OURS, THEIRS = b"server-1", b"client-1"
VERSION = QuicProtocolVersion.VERSION_1


def initial(*, token: bytes = b"", destination: bytes = OURS) -> QuicHeader:
    """The head of a client's Initial packet."""
    return QuicHeader(
        version=VERSION,
        packet_type=QuicPacketType.INITIAL,
        packet_length=SMALLEST_MAX_DATAGRAM_SIZE,
        destination_cid=destination,
        source_cid=THEIRS,
        token=token,
        integrity_tag=b"",
        supported_versions=[],
    )


def head(datagram: bytes) -> QuicHeader:
    """The head of an answer, as the client reads it."""
    return pull_quic_header(Buffer(data=datagram), host_cid_length=len(THEIRS))


class AnswerTests(SynchronousTestCase):
    """Answers that close or turn away."""

    def test_versions(self) -> None:
        """A client hears of our versions, under the ids of its own packet turned about."""
        answer = negotiate_version(initial(), [VERSION])
        read = head(answer)
        self.assertEqual(read.packet_type, QuicPacketType.VERSION_NEGOTIATION)
        self.assertEqual((read.destination_cid, read.source_cid), (THEIRS, OURS))
        self.assertIn(VERSION, read.supported_versions)
        self.assertLess(len(answer), SMALLEST_MAX_DATAGRAM_SIZE)

    def test_refusal(self) -> None:
        """A refusal is an Initial that the client can decrypt, with the code in it."""
        answer = refuse(initial(), QuicErrorCode.CONNECTION_REFUSED)
        self.assertLessEqual(len(answer), SMALLEST_MAX_DATAGRAM_SIZE)
        buffer = Buffer(data=answer)
        read = pull_quic_header(buffer, host_cid_length=len(THEIRS))
        self.assertEqual(read.destination_cid, THEIRS)
        crypto = CryptoPair()
        crypto.setup_initial(cid=OURS, is_client=True, version=VERSION)
        _, payload, _ = crypto.decrypt_packet(answer, buffer.tell(), 0)
        frame = Buffer(data=payload)
        self.assertEqual(frame.pull_uint_var(), QuicFrameType.TRANSPORT_CLOSE)
        self.assertEqual(frame.pull_uint_var(), QuicErrorCode.CONNECTION_REFUSED)


class RetryTests(SynchronousTestCase):
    """Proof of an address."""

    def setUp(self) -> None:
        self.tokens = RetryTokens()
        self.packet = self.tokens.retry(initial(), ADDRESS, 100.0)
        self.read = head(self.packet)

    def proven(self, *, address: tuple[str, int] = ADDRESS, now: float = 101.0) -> bytes | None:
        """What the token of the Retry proves of a second Initial."""
        again = initial(token=self.read.token, destination=self.read.source_cid)
        return self.tokens.original_id(again, address, now)

    def test_proves(self) -> None:
        """The client that answers a Retry from its address is known by the id it chose first."""
        self.assertEqual(self.read.packet_type, QuicPacketType.RETRY)
        self.assertTrue(self.tokens.is_ours(self.read.token))
        self.assertEqual(self.proven(), OURS)

    def test_integrity(self) -> None:
        """The packet ends in the tag that shows that it answers this very Initial."""
        tag = get_retry_integrity_tag(self.packet[:-16], OURS, version=VERSION)
        self.assertEqual(self.read.integrity_tag, tag)

    def test_of_another(self) -> None:
        """From another address, much later, or after a restart it proves nothing."""
        self.assertIsNone(self.proven(address=("192.0.2.2", 4433)))
        self.assertIsNone(self.proven(now=100_000.0))
        self.tokens = RetryTokens()
        self.assertIsNone(self.proven())

    def test_no_token_of_ours(self) -> None:
        """Some server's NEW_TOKEN is not taken for a Retry of ours."""
        for token in (b"", b"\x02other"):
            self.assertFalse(self.tokens.is_ours(token))

    @given(st.binary(max_size=600))
    def test_forged(self, token: bytes) -> None:
        """Whatever bytes stand behind our mark: no proof, and no exception."""
        forged = initial(token=b"\x01" + token, destination=self.read.source_cid)
        self.assertIsNone(self.tokens.original_id(forged, ADDRESS, 101.0))


class ResetTests(SynchronousTestCase):
    """Stateless resets."""

    @given(st.binary(max_size=20), st.integers(0, 1500))
    def test_shape(self, connection_id: bytes, longest: int) -> None:
        """A reset is shorter than its question, looks like a packet, and ends in the token."""
        tokens = ResetTokens(b"key")
        reset = tokens.reset(connection_id, longest)
        if longest < LEAST_RESET:
            self.assertIsNone(reset)
            return
        assert reset is not None
        self.assertEqual(len(reset), min(RESET, longest))
        self.assertEqual(reset[0] & 0xC0, 0x40)
        self.assertEqual(reset[-TOKEN:], tokens.token(connection_id))

    def test_key(self) -> None:
        """The key makes the token, before a restart and after; another makes another."""
        self.assertEqual(ResetTokens(b"k").token(OURS), ResetTokens(b"k").token(OURS))
        self.assertNotEqual(ResetTokens(b"k").token(OURS), ResetTokens(b"l").token(OURS))
        self.assertNotEqual(ResetTokens(b"k").token(OURS), ResetTokens(b"k").token(THEIRS))
