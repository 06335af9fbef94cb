"""Every parser of ours that reads what a stranger sends, and what it may raise.

Rule: whatever the bytes are, a parser gives a value or raises what is named here;
anything else is a fault of ours.
"""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import parse_qs

from takotwist.codecs import app_json
from takotwist.codecs.cookie import read_cookies
from takotwist.codecs.frames import read_client_frame
from takotwist.codecs.registry_json import read_registry
from takotwist.codecs.tako_json import read_draft, read_drafts
from takotwist.core.params import Params
from takotwist.core.topic import Topic, parse_cursor
from takotwist.streams.files.answer import select
from takotwist.streams.files.conditions import parse_etags
from takotwist.streams.files.headers import parse_http_date, weights
from takotwist.streams.http.peer import TrustedProxies, normalize_origin, resolve_peer
from takotwist.streams.websocket.handshake import tokens
from takotwist.streams.webtransport.capsules import CapsuleError, CapsuleParser
from takotwist.transports.request import read_fields
from takotwist.transports.site import read_path
from tests.faults.fuzz.client_parsers import CLIENT_PARSERS
from tests.faults.fuzz.parser import Parser
from tests.faults.fuzz.stream_parsers import STREAM_PARSERS

LIMIT = 65_536

_PARAMS = Params.of(
    {
        "type": "object",
        "properties": {
            "i": {"type": "integer"},
            "n": {"type": "number"},
            "b": {"type": "boolean"},
            "s": {"type": ["string", "null"]},
            "a": {"type": "array", "items": {"type": "integer"}},
        },
    }
)
_PROXIES = TrustedProxies.of(["127.0.0.1", "10.0.0.0/8", "::1"])


def _bind(data: bytes) -> object:
    bound = _PARAMS.bind_query(parse_qs(data.decode("latin-1"), keep_blank_values=True))
    key = Topic.of("chat", bound).key
    # One topic, one spelling, whatever order its params are in.
    assert Topic.of("chat", dict(reversed(bound.items()))).key == key
    return key


def _peer(data: bytes) -> object:
    text = data.decode("latin-1")
    return resolve_peer(
        "127.0.0.1",
        secure=False,
        host=text,
        forwarded_for=[text],
        forwarded_proto=[text],
        forwarded_host=[text],
        trusted=_PROXIES,
    )


PARSERS = {
    **STREAM_PARSERS,
    **CLIENT_PARSERS,
    "client frame": Parser(
        lambda data: read_client_frame(data, LIMIT),
        seeds=(
            b'{"type":"msg","data":{"a":[1]},"ref":1}',
            b'{"op":"subscribe","ref":"a","channel":"chat","params":{"i":1},"cursor":"1"}',
            b'{"type":"tako.auth","token":"Bearer a","lastMessageId":"1"}',
        ),
    ),
    "draft": Parser(lambda data: read_draft(data, LIMIT), seeds=(b'{"type":"msg","data":null}',)),
    "drafts": Parser(
        lambda data: read_drafts(data, LIMIT, 100), seeds=(b'[{"type":"msg","data":"\\u00e4"}]',)
    ),
    "registry": Parser(
        read_registry,
        seeds=(b'[{"channel":"a","paramsSchema":{"type":"object"},"auth":false}]',),
    ),
    "question": Parser(
        app_json.read_question,
        seeds=(b'{"channel":"a","operation":"subscribe","params":{}}',),
    ),
    "grant": Parser(app_json.read_grant, seeds=(b'{"ok":true,"subject":"a","expiresAt":1}',)),
    "no": Parser(app_json.says_no, seeds=(b'{"ok":false}',)),
    "frame": Parser(
        app_json.read_frame, seeds=(b'{"channel":"a","params":{},"frame":{"type":"m","data":1}}',)
    ),
    "verdict": Parser(app_json.read_verdict, seeds=(b'{"action":"fanout","data":1}',)),
    "cursor": Parser(lambda data: parse_cursor(data.decode("latin-1")), seeds=(b"12",)),
    "params": Parser(_bind, seeds=(b"i=010&n=1e3&b=true&s=&a=1&a=2",)),
    "cookies": Parser(lambda line: read_cookies([line]), seeds=(b'a=1; b="x\\054\\""; a=2; c',)),
    "fields": Parser(read_fields, seeds=(b"/a?b=c&d=%C3%A4&e",)),
    "path": Parser(
        lambda data: read_path(data, ["/_tako/channels/"]),
        seeds=(b"/_tako/channels/chat/history", b"/_tako/channels/%FF"),
    ),
    "origin": Parser(
        lambda data: normalize_origin(data.decode("latin-1")), (), (b"https://a.example:8443",)
    ),
    "peer": Parser(_peer, (), (b"10.0.0.1, [::1]:80",)),
    "range": Parser(lambda data: select(data, 1000), (), (b"bytes=0-1,-5,9-",)),
    "etags": Parser(parse_etags, (), (b'W/"a", "b"', b"*")),
    "date": Parser(
        lambda data: parse_http_date(data, 1.7e9), (), (b"Sun, 06 Nov 1994 08:49:37 GMT",)
    ),
    "encodings": Parser(weights, (), (b"gzip;q=0.5, *;q=0",)),
    "tokens": Parser(lambda data: tokens([data]), (), (b"a, b ,,c",)),
    "capsules": Parser(lambda data: CapsuleParser().feed(data), (CapsuleError,), (b"\x80\x00x",)),
}


def read(name: str, data: bytes) -> None:
    """Have one parser read `data`.

    :raises Exception: what it may not raise.
    """
    parser = PARSERS[name]
    with suppress(*parser.may_raise):
        parser.read(data)
