"""HTTP sites of the listeners, and the app's own pages beside its channels.

Rule: a folder is served as files, a module's resource as it is; either is asked
only for paths that are not the server's own.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, cast

import msgspec
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET

from takotwist.app.code_errors import code_error
from takotwist.errors import REFUSALS, ConfigError, Refusal, TakoError
from takotwist.interfaces import IReactor
from takotwist.server.reloadable import Reloadable
from takotwist.streams.files import static_dir
from takotwist.streams.http.connection import Direct
from takotwist.streams.http.interface import Request
from takotwist.streams.http.known_heads import MAX_HEAD
from takotwist.streams.http.limits import Body, HttpLimits
from takotwist.streams.http.site import HttpSite, make_site
from takotwist.streams.unfinished import Unfinished
from takotwist.transports.publish.known_head import VALUES_READ
from takotwist.transports.site import Root, Routes, read_path

#: Sees a request before the routes do; true where it has answered it, which ends it there.
Interceptor = Callable[[Request], bool]


def site(
    routes: Routes,
    settings: Reloadable,
    reactor: IReactor,
    unfinished: Unfinished,
    interceptors: Sequence[Interceptor] = (),
    *,
    fast: bool = True,
) -> HttpSite:
    """The factory that serves the connections of a listener.

    :param interceptors: asked about each request, in this order.
    :param fast: `False` where they are to see the publishes of a known head too.
    """

    def body_rule(method: bytes, path: bytes) -> int | Literal[Body.STREAMED]:
        # Publishes are read as they come; nothing else of ours has a body.
        live = routes.live.body_limit(path) if routes.live is not None else None
        if live is not None:
            return live
        try:
            here = read_path(path, routes.bases) if method == b"POST" else None
        except TakoError:
            here = None
        return Body.STREAMED if here is not None else settings.limits.max_body_bytes

    root = Root(routes)
    resource: IResource = root
    direct: Direct = root.direct
    for one in reversed(interceptors):
        resource, direct = _Intercepted(one, resource), _intercepted(one, direct)
    head = settings.limits.max_header_bytes
    return make_site(
        resource,
        reactor,
        HttpLimits(max_line=head, max_head=head),
        error_body=error_body,
        body_rule=body_rule,
        direct=direct,
        values_read=VALUES_READ,
        unfinished=unfinished,
        max_known_head=MAX_HEAD if fast else 0,
    )


class _Intercepted(Resource):
    """A resource before another."""

    isLeaf = True

    def __init__(self, first: Interceptor, behind: IResource) -> None:
        Resource.__init__(self)
        self._first, self._behind = first, behind

    def render(self, request: Request) -> object:
        """Implement `IResource`."""
        return NOT_DONE_YET if self._first(request) else self._behind.render(request)


def _intercepted(first: Interceptor, direct: Direct) -> Direct:
    def asking(path: bytes) -> Callable[[Request], bool] | None:
        answer = direct(path)
        return None if answer is None else lambda request: first(request) or answer(request)

    return asking


def announce(value: Callable[[], bytes]) -> Interceptor:
    """All answers say where the site is over HTTP/3 (RFC 7838).

    :param value: of ``Alt-Svc``, which has a port that is known only once it is open.
    """

    def say(request: Request) -> bool:
        request.responseHeaders.setRawHeaders(b"alt-svc", [value()])
        return False

    return say


_CODES = {
    400: "body-invalid",
    404: "not-found",
    405: "method-not-allowed",
    413: "message-too-large",
    426: "upgrade-required",
    429: "rate-limited",
    500: "internal-error",
    503: "overloaded",
}


def error_body(status: int, sentence: str) -> tuple[bytes, bytes]:
    """The body of an error that arises before any route is asked."""
    code = _CODES.get(status, Refusal.code)
    assert code in REFUSALS
    return b"application/json", msgspec.json.encode({"error": sentence, "code": code})


def load_pages(source: Path | str | None, folder: Path) -> IResource | None:
    """The resource of all paths that are not the server's.

    :param source: a folder, or ``module:name`` of a resource, a Klein app, or a
        function that returns one of them.
    :param folder: that of the configuration file; modules are looked for there too.
    :raises ConfigError: it cannot be loaded; names what is wrong.
    """
    if source is None:
        return None
    if isinstance(source, Path):
        return cast(IResource, static_dir(source))
    module_name, _, name = source.partition(":")
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        found: object = _page_source(module_name, name, folder)
        if callable(found) and not IResource.providedBy(found) and not hasattr(found, "resource"):
            found = found()
    except ConfigError:
        raise
    except (Exception, SystemExit) as failure:
        wrong = code_error(failure, source)
        raise ConfigError(wrong.what, key="app.pages", source=wrong.place) from failure
    if hasattr(found, "resource"):
        found = found.resource()
    if not IResource.providedBy(found):
        raise ConfigError(
            f"is {type(found).__name__}, which is neither a twisted.web resource nor a Klein app",
            key="app.pages",
            source=source,
        )
    return found


def _page_source(module_name: str, name: str, folder: Path) -> object:
    """The object that ``app.pages`` names.

    :raises ConfigError: there is no such module, or it has no such name.
    """
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as missing:
        if missing.name is None or not f"{module_name}.".startswith(f"{missing.name}."):
            raise
        raise ConfigError(
            f"there is no module {module_name!r} in {folder}; make it, or correct app.pages",
            key="app.pages",
        ) from None
    try:
        return getattr(module, name)
    except AttributeError:
        raise ConfigError(
            f"has nothing that is called {name!r}; define it, or correct app.pages",
            key="app.pages",
            source=str(module.__file__ or module_name),
        ) from None
