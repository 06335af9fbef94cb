"""Framing of an HTTP/1.1 request's body, where Twisted takes more than RFC 9112 does.

Rule: what others between us and the client may read in another way is no framing.
"""

from __future__ import annotations

from twisted.web.http import _ChunkedTransferDecoder, _MalformedChunkedDataError

#: No body, and no chunk, has as many bytes.
MAX_BODY_LENGTH = 2**63 - 1


def is_transfer_coding(value: bytes, version: bytes) -> bool:
    """True if `value` may be that of Transfer-Encoding: chunked, and nothing else (section 6.1)."""
    return value.lower() == b"chunked" and version == b"HTTP/1.1"


def bounded_length(value: bytes) -> bytes:
    """A Content-Length with digits that Python reads; it reads no number of thousands of them.

    :return: `MAX_BODY_LENGTH` for all that are as large or larger.
    """
    digits = value.lstrip(b"0") or b"0"
    return digits if not value.isdigit() or len(digits) < 19 else b"%d" % MAX_BODY_LENGTH


class Chunks(_ChunkedTransferDecoder):
    """Chunks whose stated sizes can be."""

    def _dataReceived_CHUNK_LENGTH(self) -> bool:
        read = super()._dataReceived_CHUNK_LENGTH()
        if read and self.length >= MAX_BODY_LENGTH:
            raise _MalformedChunkedDataError("Chunk-size is too large.")
        return read
