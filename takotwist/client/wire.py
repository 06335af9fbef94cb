"""Wire forms of the protocol: WebSocket text frames, and ``text/event-stream``.

Frames (protocol, section 5): control frames carry ``"op"``, messages never do.  Rule: a
control frame of a kind or shape that this version does not know is ignored; a message that
cannot be read never is.

Event streams are read in any pieces (WHATWG HTML, section 9.2.6).  Rule: nothing of a block
counts before the blank line that ends it, its id least of all: a cursor taken from half a
block would skip the other half.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping

import attrs
import msgspec

from takotwist.client.errors import ProtocolBroken
from takotwist.client.machine.outcome import Outcome, of_code
from takotwist.client.machine.outgoing import Publish
from takotwist.core.json_values import JsonObject

#: The subprotocol that makes a connection explicit.
SUBPROTOCOL = "tako.v1"


@attrs.frozen(slots=True)
class Opened:
    """The server let us in.

    :ivar cursor: where we stand; `None` on a multiplexed connection.
    :ivar keepalive_ms: how often it will be heard of.
    """

    cursor: str | None
    keepalive_ms: float | None


@attrs.frozen(slots=True)
class Acked:
    """Acknowledgement of the frame that we sent with `ref`.

    :ivar id: of the stored message, for a publish.
    :ivar cursor: where the topic stands, for a subscribe.
    :ivar params: the topic's validated params, for a subscribe.
    :ivar subject: who we are there, for a subscribe.
    """

    ref: object
    id: str | None
    cursor: str | None
    params: JsonObject | None
    subject: str | None = None


@attrs.frozen(slots=True)
class Failed:
    """Refusal of the frame that we sent with `ref`, or end of the topic that it opened.

    :ivar outcome: what it means; see `of_code`.
    """

    ref: object
    outcome: Outcome


@attrs.frozen(slots=True)
class WasReset:
    """Continuity ended at the server.

    :ivar ref: of the subscribe, on a multiplexed connection.
    """

    ref: object
    reason: str
    cursor: str | None


@attrs.frozen(slots=True)
class Synced:
    """All who were there have been named, on the roster that was subscribed to with `ref`."""

    ref: object
    cursor: str | None


Control = Opened | Acked | Failed | WasReset | Synced


def _cursor(value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value else None


def _number(value: object) -> float | None:
    """A number of milliseconds, or `None` where `value` is none."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if 0 <= value < 2**53 else None


def read_control(value: Mapping[str, object]) -> Control | None:
    """The control frame in `value`, or `None` for one to be ignored.

    :param value: an object with ``op``.
    """
    ref, cursor = value.get("ref"), _cursor(value.get("cursor"))
    match value["op"]:
        case "open":
            lifecycle = value.get("lifecycle")
            said = lifecycle.get("keepaliveIntervalMs") if isinstance(lifecycle, dict) else None
            return Opened(cursor, _number(said) or None)
        case "ack":
            params = value.get("params")
            params = params if isinstance(params, dict) else None
            subject = value.get("subject")
            subject = subject if isinstance(subject, str) else None
            return Acked(ref, _cursor(value.get("id")), cursor, params, subject)
        case "error":
            code, sentence = str(value.get("code")), str(value.get("error") or "")
            return Failed(ref, of_code(code, sentence, _number(value.get("retryAfterMs"))))
        case "reset":
            return WasReset(ref, str(value.get("reason")), cursor)
        case "synced":
            return Synced(ref, cursor)
    return None


def _text(value: Mapping[str, object]) -> str:
    return msgspec.json.encode({k: v for k, v in value.items() if v is not None}).decode()


def auth(token: str, cursor: str | None) -> str:
    """The first frame where no header can be set, and later one that refreshes."""
    return _text({"type": "tako.auth", "token": token, "lastMessageId": cursor})


def plain_publish(publish: Publish) -> str:
    """A client's frame of the plain mode."""
    return _text({"type": publish.type, "data": publish.data})


def publish(publish: Publish) -> str:
    """A client's frame that wants an answer."""
    return _text(
        {
            "type": publish.type,
            "data": publish.data,
            "ref": publish.ref,
            "idempotencyKey": publish.key,
        }
    )


def topic_publish(publish: Publish, channel: str, params: Mapping[str, object]) -> str:
    """A publish on one topic of a multiplexed connection."""
    return _text(
        {
            "op": "publish",
            "ref": publish.ref,
            "channel": channel,
            "params": params,
            "type": publish.type,
            "data": publish.data,
            "idempotencyKey": publish.key,
        }
    )


def topic_request(
    op: str, ref: int, channel: str, params: Mapping[str, object], **more: object
) -> str:
    """``subscribe``, ``unsubscribe``, ``auth`` or ``presence`` of one topic."""
    return _text({"op": op, "ref": ref, "channel": channel, "params": params, **more})


def ping(ref: int) -> str:
    """A question whether the server is still there; browsers cannot send a ping frame."""
    return _text({"op": "ping", "ref": ref})


_LINE_END = re.compile("\r\n|\n|\r")


@attrs.frozen(slots=True)
class Block:
    """Fields between two blank lines.

    :ivar event: its name; empty where it has none.
    :ivar data: the lines joined, or `None` where there was no ``data``.
    :ivar id: or `None` where there was no usable one.
    """

    event: str
    data: str | None
    id: str | None


@attrs.frozen(slots=True)
class RetrySaid:
    """The server's ``retry:``, in milliseconds.  It counts from its line on."""

    retry_ms: int


@attrs.define(slots=True)
class EventStream:
    """Bytes in, blocks out.

    :param max_bytes: of one block; more breaks the stream.
    """

    _max_bytes: int
    _decoder: codecs.IncrementalDecoder = attrs.field(
        factory=lambda: codecs.getincrementaldecoder("utf-8")("replace")
    )
    _partial: list[str] = attrs.field(factory=list)
    _size: int = 0
    _after_cr: bool = False
    _begun: bool = False
    _event: str = ""
    _data: list[str] = attrs.field(factory=list)
    _id: str | None = None

    def feed(self, data: bytes) -> Iterator[Block | RetrySaid]:
        """The blocks that `data` completed.

        :raises ProtocolBroken: when a block is longer than allowed.
        """
        text = self._decoder.decode(data)
        if not text:
            return
        if not self._begun:
            self._begun = True
            text = text.removeprefix("\ufeff")
        if self._after_cr:
            text = text.removeprefix("\n")
        self._after_cr = data.endswith(b"\r")
        *lines, rest = _LINE_END.split(text)
        for line in lines:
            whole = "".join([*self._partial, line]) if self._partial else line
            self._partial.clear()
            yield from self._line(whole)
        if rest:
            self._partial.append(rest)
            self._count(len(rest))

    def _count(self, more: int) -> None:
        self._size += more
        if self._size > self._max_bytes:
            raise ProtocolBroken(f"The server sent a block of over {self._max_bytes} bytes.")

    def _line(self, line: str) -> Iterator[Block | RetrySaid]:
        if not line:
            if self._data or self._id is not None:
                data = "\n".join(self._data) if self._data else None
                yield Block(self._event, data, self._id)
            self._event, self._id, self._size = "", None, 0
            self._data.clear()
            return
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._count(len(value))
            self._data.append(value)
        elif field == "id" and "\0" not in value:
            self._id = value
        elif field == "event":
            self._event = value
        elif field == "retry" and value.isascii() and value.isdigit():
            yield RetrySaid(int(value[:12]))
