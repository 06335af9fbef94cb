"""Requests of the protocol, read: every field that has a grammar, and what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import attrs

from takotwist.core.durable_stream import Producer, Spec
from takotwist.core.stream_change import Create, Write
from takotwist.core.topic import MAX_ID
from takotwist.errors import BodyInvalid, CursorInvalid, ParamsInvalid
from takotwist.streams.http.interface import ReadableRequest
from takotwist.transports.request import header_text, read_fields

#: Longest name of a producer, longest ``Stream-Seq``, longest content type, in characters.
MAX_NAME = 256

#: Where a stream begins, and where it ends now; no offset is spelled like these.
BEGINNING, NOW = "-1", "now"

_WHOLE = re.compile(r"0|[1-9][0-9]{0,9}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,16}", re.ASCII)
_OFFSET = re.compile(r"[0-9]{16}", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)

_UNIX = datetime(1970, 1, 1, tzinfo=UTC)

#: Fields that a page may send and read, beside those that every page may.
SENT = (
    "stream-ttl",
    "stream-expires-at",
    "stream-closed",
    "stream-seq",
    "producer-id",
    "producer-epoch",
    "producer-seq",
    "if-none-match",
)
SHOWN = (
    "ETag",
    "Location",
    "Retry-After",
    "Stream-Next-Offset",
    "Stream-Cursor",
    "Stream-Up-To-Date",
    "Stream-Closed",
    "Stream-End",
    "Stream-End-Reason",
    "Stream-TTL",
    "Stream-Expires-At",
    "Stream-SSE-Data-Encoding",
    "Producer-Epoch",
    "Producer-Seq",
    "Producer-Expected-Seq",
    "Producer-Received-Seq",
)


def closes(request: ReadableRequest) -> bool:
    """Tell whether the stream ends with this request; every value but ``true`` is no such field."""
    return (header_text(request, "stream-closed") or "").strip().lower() == "true"


def read_create(request: ReadableRequest, body: bytes, now_us: int) -> Create:
    """Read a PUT.

    :raises BodyInvalid: names the field.
    """
    if header_text(request, "stream-forked-from") is not None:
        raise BodyInvalid("Stream-Forked-From: this server has no forks.")
    ttl = _field(request, "Stream-TTL", _WHOLE.fullmatch, "whole seconds, without leading zeros")
    expires_at = _field(request, "Stream-Expires-At", _TIME.fullmatch, "a time as in RFC 3339")
    if ttl is not None and expires_at is not None:
        raise BodyInvalid("Stream-TTL and Stream-Expires-At exclude each other.")
    spec = Spec(
        _content_type(request) or "application/octet-stream",
        now_us,
        None if ttl is None else int(ttl),
        None if expires_at is None else _microseconds(expires_at),
        expires_at,
    )
    return Create(spec, body, closes(request))


def read_write(request: ReadableRequest, body: bytes) -> Write:
    """Read a POST.

    :raises BodyInvalid: names the field.
    """
    content_type = _content_type(request)
    if body and content_type is None:
        raise BodyInvalid("Content-Type is missing.")
    end = closes(request)
    if not body and not end:
        raise BodyInvalid("The body is empty, and Stream-Closed is not true.")
    seq = _field(request, "Stream-Seq", _short, f"1 to {MAX_NAME} characters")
    return Write(body, content_type, end, read_producer(request), seq)


def read_producer(request: ReadableRequest, *, seq: bool = True) -> Producer | None:
    """The producer that a request names; `None` where it names none.

    :param seq: whether the request has a number.
    :raises BodyInvalid: names the field.
    """
    name = _field(request, "Producer-Id", _short, f"1 to {MAX_NAME} characters")
    epoch = _field(request, "Producer-Epoch", _counted, f"a whole number up to {MAX_ID}")
    number = _field(request, "Producer-Seq", _counted, f"a whole number up to {MAX_ID}")
    if name is None and epoch is None and number is None:
        return None
    if not seq:
        number = number or "0"
    if name is None or epoch is None or number is None:
        raise BodyInvalid("Producer-Id, Producer-Epoch and Producer-Seq go together.")
    return Producer(name, int(epoch), int(number))


def _field(
    request: ReadableRequest, name: str, fits: Callable[[str], object], needs: str
) -> str | None:
    text = header_text(request, name.lower())
    if text is not None:
        text = text.strip()
        if not fits(text):
            raise BodyInvalid(f"{name} must be {needs}.")
    return text


def _short(text: str) -> bool:
    return 1 <= len(text) <= MAX_NAME


def _counted(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None and int(text) <= MAX_ID


def _content_type(request: ReadableRequest) -> str | None:
    text = header_text(request, "content-type")
    if text is None or not text.strip():
        return None
    if not _short(text):
        raise BodyInvalid(f"Content-Type must be 1 to {MAX_NAME} characters.")
    return text.strip()


def _microseconds(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        raise BodyInvalid("Stream-Expires-At must be a time as in RFC 3339.") from None
    # In whole numbers: as a float some times come out a microsecond early.
    return (moment - _UNIX) // timedelta(microseconds=1)


@attrs.frozen(slots=True)
class Reading:
    """A GET.

    :ivar offset: as it stands in the query; `None` where there is none.
    :ivar live: ``long-poll``, ``sse`` or `None`.
    :ivar cursor: the `Stream-Cursor` that the client was given last.
    """

    offset: str | None
    live: str | None
    cursor: str | None

    @classmethod
    def of(cls, uri: bytes) -> Reading:
        """Read a target.

        :raises ParamsInvalid: names the field of the query.
        """
        said: dict[str, str] = {}
        for name, value in read_fields(uri):
            if name in ("offset", "live", "cursor"):
                if name in said:
                    raise ParamsInvalid(f"{name} stands twice in the query.")
                said[name] = value
        offset, live = said.get("offset"), said.get("live")
        if offset is not None and offset not in (BEGINNING, NOW) and not _OFFSET.fullmatch(offset):
            raise ParamsInvalid("offset must be one that this server gave out, -1 or now.")
        if live not in (None, "long-poll", "sse"):
            raise ParamsInvalid("live must be 'long-poll' or 'sse'.")
        if live is not None and offset is None:
            raise ParamsInvalid("offset is missing, which live needs.")
        return cls(offset, live, said.get("cursor"))

    def at(self, returned: str) -> Reading:
        """The same from where an event stream ended.

        :param returned: ``Last-Event-ID``.
        :raises CursorInvalid: it is no offset.
        """
        if not _OFFSET.fullmatch(returned):
            raise CursorInvalid("Last-Event-ID must be an offset that this server gave out.")
        return attrs.evolve(self, offset=returned)

    def after(self, created: int, tail: int) -> int:
        """The id behind which is read.

        :raises CursorInvalid: the stream never gave out this offset.
        """
        if self.offset in (None, BEGINNING):
            return created
        if self.offset == NOW:
            return tail
        assert self.offset is not None
        after = int(self.offset)
        if after > tail:
            raise CursorInvalid("offset lies behind the end of the stream.")
        return after
