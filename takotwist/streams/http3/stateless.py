"""Stateless answers to unknown datagrams: version negotiation, Retry, refusal, reset.

Bytes in, bytes out; nothing is remembered between a question and its answer, so a flood costs
no memory.  No answer is longer than its question (RFC 9000 section 8).
"""

from __future__ import annotations

import hmac
import os

from aioquic.quic.configuration import SMALLEST_MAX_DATAGRAM_SIZE
from aioquic.quic.crypto import CryptoPair
from aioquic.quic.packet import (
    QuicFrameType,
    QuicHeader,
    QuicPacketType,
    encode_quic_retry,
    encode_quic_version_negotiation,
)
from aioquic.quic.packet_builder import QuicPacketBuilder
from aioquic.quic.retry import QuicRetryTokenHandler

Address = tuple[str, int]

#: First byte of our Retry tokens.  A token without it is some server's
#: NEW_TOKEN: no proof for us, but no fault either (RFC 9000 section 8.1.3).
RETRY_MARK = b"\x01"


def negotiate_version(header: QuicHeader, versions: list[int]) -> bytes:
    """Name our versions to a client that asked for one we do not speak."""
    return encode_quic_version_negotiation(
        source_cid=header.destination_cid,
        destination_cid=header.source_cid,
        supported_versions=versions,
    )


def refuse(header: QuicHeader, code: int) -> bytes:
    """Answer an Initial packet by CONNECTION_CLOSE with a transport error `code`."""
    assert header.version is not None
    crypto = CryptoPair()
    crypto.setup_initial(cid=header.destination_cid, is_client=False, version=header.version)
    builder = QuicPacketBuilder(
        host_cid=header.destination_cid,
        peer_cid=header.source_cid,
        is_client=False,
        max_datagram_size=SMALLEST_MAX_DATAGRAM_SIZE,
        version=header.version,
    )
    builder.start_packet(QuicPacketType.INITIAL, crypto)
    # error code (at most 2 bytes here), frame type 0 and an empty reason phrase
    frame = builder.start_frame(QuicFrameType.TRANSPORT_CLOSE, capacity=8)
    frame.push_uint_var(code)
    frame.push_uint_var(0)
    frame.push_uint_var(0)
    datagrams, _ = builder.flush()
    return datagrams[0]


#: Sizes of a reset: the least that can be one (RFC 9000 section 10.3), and one that looks like
#: any small packet.
LEAST_RESET, RESET = 21, 43

#: Of the token at its end.
TOKEN = 16


class ResetTokens:
    """Makes the tokens by which a client knows that we have lost its connection.

    :param key: the same before and after a restart, or a reset says nothing to anybody.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def token(self, connection_id: bytes) -> bytes:
        """The token of one of our connection ids, told to its client with it."""
        return hmac.digest(self._key, connection_id, "sha256")[:TOKEN]

    def reset(self, connection_id: bytes, longest: int = RESET) -> bytes | None:
        """A stateless reset; `None` where there is no room for one.

        :param longest: bytes that it may have.  Less than its question has, and two servers
            that know nothing of each other do not answer each other for ever.
        """
        size = min(RESET, longest)
        if size < LEAST_RESET:
            return None
        noise = bytearray(os.urandom(size - TOKEN))
        noise[0] = noise[0] & 0x3F | 0x40  # a short header, as any packet of ours
        return bytes(noise) + self.token(connection_id)


class RetryTokens:
    """Makes and checks the tokens by which a client proves its address.

    The key lives as long as this object: a Retry answered after a restart fails once.
    """

    def __init__(self) -> None:
        self._tokens = QuicRetryTokenHandler()

    def retry(
        self, header: QuicHeader, address: Address, now: float, chosen: bytes | None = None
    ) -> bytes:
        """A Retry packet for an Initial of `address`.

        :param chosen: the connection id that the client is to use; a random one where absent.
        """
        assert header.version is not None
        connection_id = chosen or os.urandom(8)
        token = self._tokens.create_token(
            address=address,
            original_destination_connection_id=header.destination_cid,
            retry_source_connection_id=connection_id,
            now=now,
        )
        return encode_quic_retry(
            version=header.version,
            source_cid=connection_id,
            destination_cid=header.source_cid,
            original_destination_cid=header.destination_cid,
            retry_token=RETRY_MARK + token,
        )

    def is_ours(self, token: bytes) -> bool:
        """True where the token claims to come from one of our Retry packets."""
        return token.startswith(RETRY_MARK)

    def original_id(self, header: QuicHeader, address: Address, now: float) -> bytes | None:
        """The id that the client chose first, or `None` where the token proves nothing."""
        try:
            return self._tokens.validate_token(
                address=address,
                destination_cid=header.destination_cid,
                token=header.token[len(RETRY_MARK) :],
                now=now,
            )
        except ValueError:
            return None
