"""`serve_file`: one file as the answer to one request.

The order is that of the reader: method, file, coding, conditions, range, head, body.
Decisions are in `answer` and `opened`, bytes in `transmission`; here they are only put in a row.

A list header may be spread over several lines; anything else that is there twice contradicts
itself and counts as absent (RFC 9110, section 5.3).
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Sequence
from typing import cast

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web.server import Request, Site

from takotwist.streams.files.answer import Answer, Headers, Representation, answer
from takotwist.streams.files.conditions import Conditions
from takotwist.streams.files.headers import Disposition, content_disposition, media_type_of
from takotwist.streams.files.opened import CannotOpen, OpenedFile, Variant, choose, open_file
from takotwist.streams.files.policy import Policy
from takotwist.streams.files.sinks import (
    CHUNK,
    Sink,
    SocketSink,
    StreamSink,
    WrittenSink,
    plain_socket,
)
from takotwist.streams.files.transmission import ErrorRenderer, Transmission, is_gone, send_refusal
from takotwist.streams.seams.http2 import http2_stream


def conditions_of(request: Request) -> Conditions:
    """The conditional headers.  If-Range is joined so that two of them match nothing."""
    header = request.requestHeaders.getRawHeaders
    return Conditions(
        if_match=joined(header(b"If-Match")),
        if_unmodified_since=single(header(b"If-Unmodified-Since")),
        if_none_match=joined(header(b"If-None-Match")),
        if_modified_since=single(header(b"If-Modified-Since")),
        if_range=joined(header(b"If-Range")),
    )


def joined(lines: Sequence[bytes] | None) -> bytes | None:
    """The value of a header that is a list, repeated lines put together (section 5.3)."""
    return b",".join(lines) if lines else None


def single(lines: Sequence[bytes] | None) -> bytes | None:
    """The value of a header that is no list; repeated, it is malformed and ignored."""
    return lines[0] if lines and len(lines) == 1 else None


METHODS = (b"GET", b"HEAD", b"OPTIONS")
ALLOW = b"GET, HEAD, OPTIONS"

_log = Logger()


def serve_file(
    request: Request,
    path: str | bytes | os.PathLike[str],
    *,
    filename: str | None = None,
    disposition: Disposition = "inline",
    content_type: str | None = None,
    cache_control: str | None = "no-cache",
    precompressed: Sequence[str] = (),
    render_error: ErrorRenderer | None = None,
    stall_timeout: float = 60.0,
    reactor: IReactorTime | None = None,
) -> Deferred[bool]:
    """Answer `request` with the file `path`.

    The path is the app's own and is trusted: symbolic links are followed.  For
    paths that come from a URL there is `static_dir`.

    :param filename: the name for saving (Content-Disposition, RFC 6266); needed to be set for
        ``disposition="attachment"`` to have a name.
    :param disposition: ``inline`` to show it, ``attachment`` to save it.
    :param content_type: the media type; `None` takes it from the path's extension.
    :param cache_control: the header's value; the default lets caches keep the file and
        makes them ask each time.  `None` sends none.
    :param precompressed: codings (``br``, ``gzip``, ``zstd``) for which ``<path>.br`` and so on
        may be sent instead, the favourite first.
    :param render_error: ``(request, status) -> (content type, body)`` for 404 and its like.
    :param stall_timeout: seconds after which a reader that takes nothing is dropped.
    :param reactor: the clock; `None` takes the one of the request's site.
    :return: fires with `True` when the whole answer has been handed over and the request is
        finished, with `False` when the reader went away or was dropped.  It never fails.
        Return it from a Klein route, or ignore it and return `NOT_DONE_YET`.
        Cancelling it cuts the reader off.
    :raises ValueError: `precompressed` names a coding that has no suffix.
    """
    name = os.fsencode(path)
    policy = Policy(
        cache_control=cache_control,
        precompressed=precompressed,
        render_error=render_error,
        stall_timeout=stall_timeout,
        reactor=reactor,
    )
    if filename is not None or disposition != "inline":
        value = content_disposition(disposition, filename)
        policy = attrs.evolve(policy, headers=((b"Content-Disposition", value),))
    return respond(request, open_file, name, policy, content_type=content_type)


def respond(
    request: Request,
    open_named: Callable[[bytes], OpenedFile],
    name: bytes,
    policy: Policy,
    *,
    content_type: str | None = None,
    vary: Sequence[bytes] = (),
) -> Deferred[bool]:
    """Answer `request` with the file that `open_named` opens as `name`.

    :param vary: request headers that had a part in choosing `name`.
    """
    if is_gone(request):
        return succeed(False)  # it went away while the app made up its mind
    if answered_by_method(request, policy.render_error):
        return succeed(True)
    header = request.requestHeaders.getRawHeaders
    range_header = single(header(b"Range")) if request.method == b"GET" else None
    accept_encoding = joined(header(b"Accept-Encoding"))
    common = policy.headers_for(os.fsdecode(name), vary)
    try:
        variant = choose(
            open_named,
            name,
            policy.precompressed,
            accept_encoding,
            wants_range=range_header is not None,
        )
    except CannotOpen as cannot:
        refuse_unopened(request, name, cannot, policy)
        return succeed(True)
    if variant is None:
        send_refusal(request, 406, common, policy.render_error)
        return succeed(True)
    try:
        return _answer(request, variant, name, policy, common, range_header, content_type)
    except BaseException:
        variant.file.close()
        raise


def _answer(
    request: Request,
    variant: Variant,
    name: bytes,
    policy: Policy,
    common: Headers,
    range_header: bytes | None,
    content_type: str | None,
) -> Deferred[bool]:
    clock = _clock(request, policy)
    decided = answer(
        conditions_of(request),
        range_header,
        Representation(
            size=variant.file.size,
            etag=variant.etag,
            modified=variant.modified_ns // 1_000_000_000,
            content_type=(content_type or media_type_of(os.fsdecode(name))).encode("ascii"),
            coding=variant.coding,
        ),
        common,
        time.time(),
        _boundary,
    )
    return _send(request, decided, variant, clock, policy)


def answered_by_method(request: Request, render_error: ErrorRenderer | None) -> bool:
    """Answer OPTIONS, and methods that files do not have; say whether that was all."""
    if request.method in (b"GET", b"HEAD"):
        return False
    if request.method == b"OPTIONS":
        request.setResponseCode(204)
        request.setHeader(b"Allow", ALLOW)
        request.finish()
    else:
        send_refusal(request, 405, [(b"Allow", ALLOW)], render_error)
    return True


def refuse_unopened(request: Request, name: bytes, cannot: CannotOpen, policy: Policy) -> None:
    """Answer for a file that cannot be opened; the log has the reason where it is ours to mend."""
    if cannot.status != 404:
        _log.warn("{name} is not served: {reason}", name=name, reason=cannot.reason)
    send_refusal(request, cannot.status, _retry(cannot.status), policy.render_error)


def _send(
    request: Request, decided: Answer, variant: Variant, clock: IReactorTime, policy: Policy
) -> Deferred[bool]:
    if decided.status >= 400:
        variant.file.close()
        send_refusal(request, decided.status, decided.headers, policy.render_error)
        return succeed(True)
    request.setResponseCode(decided.status)
    set_raw = request.responseHeaders.setRawHeaders
    for name, value in decided.headers:
        set_raw(name, [value])
    if decided.status != 304:
        set_raw(b"Content-Length", [b"%d" % decided.length])
    if not decided.length or request.method == b"HEAD":
        variant.file.close()
        request.finish()
        return succeed(True)
    sink = _sink_for(request, decided.length, clock)
    transmission = Transmission(
        request, variant.file, decided.body, sink, clock, policy.stall_timeout
    )
    if transmission.start():
        return succeed(True)
    if is_gone(request):
        return succeed(False)
    done: Deferred[bool] = Deferred(lambda _: transmission.abort("cancelled"))

    def finished(_: object) -> None:
        if not done.called:
            done.callback(True)

    def lost(_: object) -> None:
        transmission.lost()
        if not done.called:
            done.callback(False)

    request.notifyFinish().addCallbacks(finished, lost)
    return done


def _clock(request: Request, policy: Policy) -> IReactorTime:
    if policy.reactor is not None:
        return policy.reactor
    site = getattr(request, "site", None)
    if site is None:
        raise TypeError("this request belongs to no site: pass reactor=")
    return cast("Site", site).reactor


def _sink_for(request: Request, length: int, clock: IReactorTime) -> Sink:
    stream = http2_stream(request)
    if stream is not None:
        return StreamSink(request, stream, clock)
    if length > CHUNK:
        transport = plain_socket(request)
        if transport is not None:
            return SocketSink(request, transport)
    # A small body goes with its head in one send, which no sendfile can beat.
    return WrittenSink(request, clock)


def _retry(status: int) -> list[tuple[bytes, bytes]]:
    return [(b"Retry-After", b"1")] if status == 503 else []


def _boundary() -> bytes:
    return secrets.token_hex(16).encode("ascii")
