"""The calls of a streamed message's writer over HTTP (protocol, streamed messages)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

import msgspec

from takotwist.app.publish_wire import foreign, no_of
from takotwist.app.stream_call import OpenCall, RenewCall, StreamCall, StreamReply
from takotwist.codecs.http_answer import HttpAnswer
from takotwist.codecs.query import check_key
from takotwist.codecs.tako_json import check_type
from takotwist.errors import BodyInvalid, StreamEnded

_ID = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._~-]{1,64}", re.ASCII)


class _Reply(msgspec.Struct):
    opened: str = ""
    epoch: int = 0
    size: int = 0
    offset: str = ""
    leaseMs: int = 15_000


def check_id(id: str) -> str:
    """An id that a message can have.  :raises BodyInvalid: it is none."""
    if not isinstance(id, str) or not _ID.fullmatch(id):
        raise BodyInvalid("id must be 1 to 64 of the characters A-Z a-z 0-9 . _ ~ -")
    return id


def stream_of(target: str, id: str) -> str:
    """Path and query of a message's stream, where its topic's is `target`.

    :raises BodyInvalid: it can be no id.
    """
    check_id(id)
    path, question, query = target.partition("?")
    return f"{path}/streams/{quote(id, safe='')}{question}{query}"


def request_of(call: StreamCall) -> tuple[str, Mapping[str, str], bytes]:
    """Method, headers and body.

    :raises BodyInvalid: it cannot be sent; names what is wrong.
    """
    json = {"Content-Type": "application/json"}
    if isinstance(call, OpenCall):
        check_type(call.type)
        said = {
            "type": call.type,
            "of": "text" if call.text else "values",
            "meta": msgspec.Raw(call.meta),
            "resume": call.resume,
        }
        headers = {**json, "Idempotency-Key": check_key(call.key)}
        return "PUT", headers, msgspec.json.encode(said)
    producer = {"Producer-Id": "writer", "Producer-Epoch": str(call.epoch)}
    if isinstance(call, RenewCall):
        return "POST", {**producer, "Stream-Renew": "true"}, b""
    headers = {**json, **producer, "Producer-Seq": str(call.seq)}
    if call.end:
        headers |= {"Stream-Closed": "true", "Stream-End": call.end}
    if call.error:
        headers["Stream-Error"] = quote(call.error, safe=" ")
    return "POST", headers, call.values


def read_reply(answer: HttpAnswer) -> StreamReply:
    """The server's yes; raises as `takotwist.app.publish_wire.read_answer`."""
    if answer.status in (200, 201):
        try:
            said = msgspec.json.decode(answer.body, type=_Reply)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise foreign(answer) from None
        return StreamReply(said.opened, said.epoch, said.size, said.offset, said.leaseMs / 1000)
    no = no_of(answer)
    if isinstance(no, StreamEnded):
        no.how = answer.headers.get("stream-end", "")
        no.reason = answer.headers.get("stream-end-reason", "")
    raise no
