"""Request parsing: query, headers and credentials of a request for a channel, and its body.

Rule: a value is read here once and named in the error when it is bad; nobody
else looks into the request's query.  A body is read whole, within its bound and at its pace.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl

import attrs
from twisted.internet.defer import CancelledError, Deferred

from takotwist.codecs.cookie import header_text as text_of
from takotwist.codecs.cookie import read_cookies
from takotwist.core.channel import CURSOR_QUERY_KEYS, RESERVED_QUERY_KEYS
from takotwist.core.topic import parse_beginning
from takotwist.errors import CursorInvalid, MessageTooLarge, Overloaded, ParamsInvalid, Refusal
from takotwist.flow.topic_request import RequestCredentials
from takotwist.streams.http.interface import BodyRequest, ReadableRequest
from takotwist.streams.unfinished import REFUSED, Cut, Incoming

#: Most query fields that are looked at.
MAX_FIELDS = 100


@attrs.frozen(slots=True)
class ChannelRequest:
    """The query and headers of a request.

    :ivar params: query fields that are params, each with its values in order.
    :ivar presented: the credentials, wherever they stand.
    :ivar reset_when_stale: ``stale=reset`` was asked for.
    """

    params: Mapping[str, Sequence[str]]
    presented: RequestCredentials
    reset_when_stale: bool
    _reserved: Mapping[str, str]
    _last_event_id: str | None

    @property
    def cursor(self) -> int | None:
        """Cursor to resume from, or `NEWEST`: `None` is the live tail (protocol, section 4).

        An empty one is none: what a page writes that has stored nothing yet.

        :raises CursorInvalid: names the header or field; never where a reset was asked for.
        """
        said = [("Last-Event-ID", self._last_event_id)]
        said += [(field, self._reserved.get(field)) for field in CURSOR_QUERY_KEYS]
        for field, text in said:
            if text:
                return parse_beginning(text, field, foreign=self.reset_when_stale)
        return None

    def reserved(self, field: str) -> str | None:
        """A query field that is no param."""
        return self._reserved.get(field)


def header_text(request: ReadableRequest, name: str) -> str | None:
    """A request header as text, repeated lines joined; `None` where it is absent."""
    values = request.requestHeaders.getRawHeaders(name.encode("latin-1"))
    if not values:
        return None
    return text_of(b", ".join(values))


def _cookies(request: ReadableRequest) -> dict[str, str]:
    return read_cookies(request.requestHeaders.getRawHeaders(b"cookie") or ())


def read_fields(uri: bytes) -> list[tuple[str, str]]:
    """The fields of a request target's query, in order.

    :raises ParamsInvalid: it is no UTF-8, or has too many fields.
    """
    _, _, query = uri.partition(b"?")
    if (
        b"%" not in query
        and b"+" not in query
        and query.isascii()
        and query.count(b"&") < MAX_FIELDS
    ):
        # As `parse_qsl` reads it, when there is nothing to decode; most queries are like this.
        parts = [part.partition("=") for part in query.decode("ascii").split("&") if part]
        return [(name, value) for name, _, value in parts]
    try:
        return parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except UnicodeDecodeError:
        raise ParamsInvalid("The query must be percent-encoded UTF-8.") from None
    except ValueError:
        raise ParamsInvalid(f"The query has more than {MAX_FIELDS} fields.") from None


def read_channel_request(request: ReadableRequest, extra: Sequence[str] = ()) -> ChannelRequest:
    """Read a request.

    :param request: `twisted.web.iweb.IRequest`.
    :param extra: further query fields that are no params on this route.
    :raises ParamsInvalid: the query cannot be read.
    :raises CursorInvalid: ``stale`` has a value that does not exist.
    """
    params: dict[str, list[str]] = {}
    reserved: dict[str, str] = {}
    for name, value in read_fields(request.uri):
        if name in RESERVED_QUERY_KEYS or name in extra:
            reserved[name] = value
        else:
            params.setdefault(name, []).append(value)
    if reserved.get("stale", "reset") != "reset":
        raise CursorInvalid("stale must be 'reset' where it is given.")
    presented = RequestCredentials(
        lambda name: header_text(request, name),
        lambda name: _cookies(request).get(name),
        reserved.get("access_token"),
    )
    return ChannelRequest(
        params, presented, "stale" in reserved, reserved, header_text(request, "last-event-id")
    )


def read_all_presented(request: ReadableRequest) -> RequestCredentials:
    """All that a request could present, kept apart from the request.

    For a connection that does not know yet which channels it will ask for.

    :raises ParamsInvalid: the query cannot be read.
    """
    headers = {
        name.decode("latin-1").lower(): header_text(request, name.decode("latin-1"))
        for name, _ in request.requestHeaders.getAllRawHeaders()
    }
    token = dict(read_fields(request.uri)).get("access_token")
    cookies = _cookies(request)
    return RequestCredentials(headers.get, cookies.get, token, (headers, cookies))


class BodyTooSlow(Refusal):
    """A body came too slowly to be waited for."""

    http_status, _sentence, _ = REFUSED[Cut.TOO_SLOW]
    default_sentence = _sentence


def refusal_of_cut(why: Cut) -> Refusal:
    """The refusal of a body that is not waited for any longer."""
    return BodyTooSlow() if why is Cut.TOO_SLOW else Overloaded(REFUSED[why][1])


class _BodyCollector:
    def __init__(self, request: BodyRequest, limit: int) -> None:
        self.done: Deferred[bytes] = Deferred()
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0
        self._incoming: Incoming = request.site.unfinished.begin(self._cut_off)

    def body_chunk(self, data: bytes) -> None:
        self._size += len(data)
        if self.done.called:
            return
        if self._size > self._limit:
            self._fail(MessageTooLarge(f"A body may have {self._limit} bytes here."))
        else:
            self._parts.append(data)
            self._incoming.holds(self._size)

    def body_end(self) -> None:
        self._incoming.end()
        if not self.done.called:
            self.done.callback(b"".join(self._parts))

    def body_lost(self) -> None:
        if not self.done.called:
            self._fail(CancelledError())

    def _cut_off(self, why: Cut) -> None:
        self._fail(refusal_of_cut(why))

    def _fail(self, why: Exception) -> None:
        self._incoming.end()
        self._parts.clear()
        self.done.errback(why)


def whole_body(request: BodyRequest, limit: int) -> Deferred[bytes]:
    """Read the body of a `StreamRequest`.

    :param limit: in bytes.
    :raises MessageTooLarge: it has more.
    :raises BodyTooSlow: :raises Overloaded: it is not waited for any longer.
    """
    if (request.stated_length or 0) > limit:
        raise MessageTooLarge(f"A body may have {limit} bytes here.")
    whole = _BodyCollector(request, limit)
    request.stream_body(whole)
    return whole.done
