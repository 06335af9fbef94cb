"""Parsers of clients and publishers: what a server, or who stands in for it, may send them.

Rule: as in `parsers`; a client that is told nonsense says so and does not break.
"""

from __future__ import annotations

import json

from takotwist.app.publish_wire import Foreign, read_answer, retry_after
from takotwist.client.errors import ProtocolBroken
from takotwist.client.events import read_message, read_object
from takotwist.client.wire import EventStream, read_control
from takotwist.codecs.http_answer import AnswerReader, BrokenAnswer, HttpAnswer
from takotwist.errors import TakoError
from tests.faults.fuzz.parser import Parser


def _event_stream(data: bytes) -> None:
    whole = list(EventStream(500).feed(data))
    stream = EventStream(500)
    pieces = [said for at in range(len(data)) for said in stream.feed(data[at : at + 1])]
    assert pieces == whole


def _frame(data: bytes) -> object:
    value = read_object(data.decode("utf-8", "replace"))
    return read_control(value) if "op" in value else read_message(value, {})


def _answer(data: bytes) -> object:
    for status in (200, 429):
        answer = HttpAnswer(status, {"retry-after": data.decode("latin-1")}, data)
        assert retry_after(answer) >= 0
        try:
            read_answer(answer)
        except (TakoError, Foreign) as refusal:
            assert str(refusal)
    return None


def _http_answer(data: bytes) -> object:
    return _http_answer_of([data], data) if data else None


def _http_answer_of(pieces: list[bytes], data: bytes) -> object:
    outcomes: list[object] = []
    for split in (pieces, [data[at : at + 1] for at in range(len(data))]):
        reader, outcome = AnswerReader(), None
        try:
            for piece in split:
                outcome = reader.feed(piece)
                if outcome is not None:
                    break
            outcomes.append(outcome or reader.ended())
        except BrokenAnswer as broken:
            outcomes.append(str(broken))
    assert outcomes[0] == outcomes[1], outcomes
    return outcomes[0]


CLIENT_PARSERS = {
    "event stream": Parser(
        _event_stream,
        (ProtocolBroken,),
        (
            b'retry: 100\nid: 1\n\nid: 2\ndata: {"a":1}\r\n\r\nevent: x\rdata\r\r',
            b"\xef\xbb\xbfid: 1",
        ),
    ),
    "server frame": Parser(
        _frame,
        (ProtocolBroken,),
        (
            b'{"id":"1","channel":"a","type":"m","data":[1]}',
            b'{"op":"open","cursor":"1","lifecycle":{"keepaliveIntervalMs":25000}}',
            json.dumps({"op": "ack", "ref": 1, "id": "2", "params": {"a": 1}}).encode(),
            b'{"op":"error","ref":"a","code":"rate-limited","error":"No.","retryAfterMs":100}',
        ),
    ),
    "http answer": Parser(
        _http_answer,
        (BrokenAnswer,),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"1;a=b\r\n[\r\n1\r\n]\r\n0\r\nA: b\r\n\r\n",
            b"HTTP/1.0 502 Bad\r\nRetry-After: 1\r\n\r\n<html>",
        ),
    ),
    "publish answer": Parser(
        _answer,
        seeds=(b'[{"id":"1","channel":"a","type":"m","data":1}]', b'{"error":"a","code":"b"}'),
    ),
}
