"""Checks and answers of a WebSocket handshake, and the agreement on compression.

RFC 6455, section 4.2.1, with the status codes of section 4.4 and RFC 9110, section
15.5.22.  Pure: it reads headers and answers with a value.  Of permessage-deflate (RFC
7692, section 7.1) an offer that is malformed, or that cannot be met, is declined and not
an error; the connection then goes without compression.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept

from takotwist.streams.http.interface import Fields
from takotwist.streams.websocket.config import Deflate

#: RFC 6455, section 1.3.
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

#: The one version of the protocol (RFC 6455).
VERSION = b"13"


@attrs.frozen(slots=True)
class BadHandshake:
    """Why a request is no WebSocket handshake.

    :ivar status: of the HTTP answer.
    :ivar sentence: for a person.
    :ivar headers: that the answer must carry.
    """

    status: int
    sentence: str
    headers: tuple[tuple[str, str], ...] = ()


def tokens(values: Iterable[bytes]) -> list[bytes]:
    """The comma-separated items of repeated header lines, in order."""
    return [item for value in values for item in map(bytes.strip, value.split(b",")) if item]


def _has_token(values: Iterable[bytes], wanted: bytes) -> bool:
    for value in values:
        lower = value.lower()
        if lower == wanted or (wanted in lower and wanted in tokens((lower,))):
            return True
    return False


def is_upgrade(headers: Fields) -> bool:
    """True if a request asks for WebSocket at all, well or badly.

    :param headers: `twisted.web.http_headers.Headers`.
    """
    return _has_token(_values(headers, b"upgrade"), b"websocket")


def _values(headers: Fields, name: bytes) -> Sequence[bytes]:
    return headers.getRawHeaders(name) or ()


def check_handshake(method: bytes, version: bytes, headers: Fields) -> BadHandshake | None:
    """The fault of a handshake, or `None`.

    :param version: of HTTP, ``b"HTTP/1.1"``.
    :param headers: `twisted.web.http_headers.Headers`.
    """
    if method != b"GET":
        return BadHandshake(405, "A WebSocket handshake is a GET.", (("Allow", "GET"),))
    if version != b"HTTP/1.1":
        # Upgrade is HTTP/1.1's, and its header is forbidden on HTTP/2 and 3.
        return BadHandshake(426, "WebSocket is served over HTTP/1.1 here.")
    if not is_upgrade(headers):
        return BadHandshake(
            426,
            "Only WebSocket is served at this address.",
            (("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13")),
        )
    if not _has_token(_values(headers, b"connection"), b"upgrade"):
        return BadHandshake(400, "The Connection header does not name Upgrade.")
    if tuple(map(bytes.strip, _values(headers, b"sec-websocket-version"))) != (VERSION,):
        return BadHandshake(
            426,
            "Only version 13 of WebSocket is spoken here.",
            (("Sec-WebSocket-Version", "13"),),
        )
    keys = _values(headers, b"sec-websocket-key")
    if not keys:
        return BadHandshake(400, "The header Sec-WebSocket-Key is missing.")
    if len(keys) > 1 or not _is_key(keys[0].strip()):
        return BadHandshake(400, "Sec-WebSocket-Key must be 16 bytes in base64, once.")
    return None


def _is_key(key: bytes) -> bool:
    try:
        return len(key) == 24 and len(base64.b64decode(key, validate=True)) == 16
    except binascii.Error:
        return False


def accept_handshake(
    key: bytes, subprotocol: str | None, extension: str | None, headers: Mapping[str, str]
) -> bytes:
    """The answer to a good handshake (RFC 6455, section 4.2.2).

    :param key: of the client.
    :param extension: as agreed on.
    :param headers: to be sent beside.
    """
    accept = base64.b64encode(hashlib.sha1(key + _MAGIC, usedforsecurity=False).digest())
    lines = [
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n" % accept
    ]
    lines += [f"{name}: {value}\r\n".encode() for name, value in headers.items()]
    if subprotocol is not None:
        lines.append(b"Sec-WebSocket-Protocol: %b\r\n" % subprotocol.encode("ascii"))
    if extension is not None:
        lines.append(b"Sec-WebSocket-Extensions: %b\r\n" % extension.encode("ascii"))
    lines.append(b"\r\n")
    return b"".join(lines)


def offered_subprotocols(headers: Fields) -> list[str]:
    """The subprotocols that the client speaks, in its order; repeated lines are one list."""
    return [
        item.decode("ascii", "replace")
        for item in tokens(_values(headers, b"sec-websocket-protocol"))
    ]


def choose_subprotocol(supported: Sequence[str], offered: Sequence[str]) -> str | None:
    """The first of `supported` that is offered; the server's order wins, so that a
    client in the middle cannot force a weaker one by reordering the offer."""
    return next((one for one in supported if one in offered), None)


EXTENSION = "permessage-deflate"


def agree(
    offers: list[tuple[str, dict[str, list[Any]]]], config: Deflate, max_message_size: int
) -> tuple[dict[str, list[object]], object] | None:
    """The first offer that can be met.

    :param offers: extensions with their parameters, as the client lists them.
    :return: the parameters offered, and Autobahn's acceptance; `None` to go without.
    """
    for extension, params in offers:
        if extension != EXTENSION:
            continue
        try:
            offer = PerMessageDeflateOffer.parse(params)
        except Exception:
            # Autobahn raises the bare class for every malformed offer.
            continue
        server_bits = min(config.server_max_window_bits, offer.request_max_window_bits or 15)
        client_bits = 0
        if offer.accept_max_window_bits and config.client_max_window_bits < 15:
            hint = params["client_max_window_bits"][0]
            client_bits = config.client_max_window_bits
            if hint is not True:
                client_bits = min(client_bits, int(hint))
        # The acceptance announces only what the offer asked for.  Whatever we
        # use beyond that is announced too, by accepting it as if it was asked.
        asked = PerMessageDeflateOffer(
            offer.accept_no_context_takeover,
            offer.accept_max_window_bits,
            offer.request_no_context_takeover or not config.server_context_takeover,
            server_bits if server_bits < 15 or offer.request_max_window_bits else 0,
        )
        return params, PerMessageDeflateOfferAccept(
            asked,
            request_no_context_takeover=not config.client_context_takeover,
            request_max_window_bits=client_bits,
            mem_level=config.memory_level,
            max_message_size=max_message_size,
        )
    return None
