"""What a request for a channel asks, read from its URL and headers.

Rule: a value is read here once and named in the error when it is bad; nobody
else looks into the request's query.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

import attrs

from takotwist.codecs.cookie import header_text as text_of
from takotwist.codecs.cookie import read_cookies
from takotwist.core.channel import CURSOR_QUERY_KEYS, RESERVED_QUERY_KEYS
from takotwist.core.topic import parse_cursor
from takotwist.errors import CursorInvalid, ParamsInvalid
from takotwist.flow.authorize import Presented

#: Most query fields that are looked at.
MAX_FIELDS = 100


@attrs.frozen(slots=True)
class Asking:
    """The query and headers of a request.

    :ivar params: query fields that are params, each with its values in order.
    :ivar presented: the credentials, wherever they stand.
    :ivar reset_when_stale: ``stale=reset`` was asked for.
    """

    params: Mapping[str, Sequence[str]]
    presented: Presented
    reset_when_stale: bool
    _reserved: Mapping[str, str]
    _last_event_id: str | None

    @property
    def cursor(self) -> int | None:
        """Where to resume: `None` is the live tail (protocol, section 4).

        An empty one is none: what a page writes that has stored nothing yet.

        :raises CursorInvalid: names the header or field; never where a reset was asked for.
        """
        said = [("Last-Event-ID", self._last_event_id)]
        said += [(field, self._reserved.get(field)) for field in CURSOR_QUERY_KEYS]
        for field, text in said:
            if text:
                return parse_cursor(text, field, foreign=self.reset_when_stale)
        return None

    def reserved(self, field: str) -> str | None:
        """A query field that is no param."""
        return self._reserved.get(field)


def header_text(request: Any, name: str) -> str | None:
    """A request header as text, repeated lines joined; `None` where it is absent."""
    values = request.requestHeaders.getRawHeaders(name.encode("latin-1"))
    if not values:
        return None
    return text_of(b", ".join(values))


def _cookies(request: Any) -> dict[str, str]:
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


def read_asking(request: Any, extra: Sequence[str] = ()) -> Asking:
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
    presented = Presented(
        lambda name: header_text(request, name),
        lambda name: _cookies(request).get(name),
        reserved.get("access_token"),
    )
    return Asking(
        params, presented, "stale" in reserved, reserved, header_text(request, "last-event-id")
    )


def read_all_presented(request: Any) -> Presented:
    """All that a request could present, kept apart from the request.

    For a connection that does not know yet which channels it will ask for.

    :raises ParamsInvalid: the query cannot be read.
    """
    headers = {
        name.decode("latin-1").lower(): header_text(request, name.decode("latin-1"))
        for name, _ in request.requestHeaders.getAllRawHeaders()
    }
    token = dict(read_fields(request.uri)).get("access_token")
    return Presented(headers.get, _cookies(request).get, token)
