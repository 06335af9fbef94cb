"""`static_dir`: a folder as a resource, for twisted.web and from a Klein route.

The rest of the URL becomes a name inside the folder (`resolve`), the name an open file
(`opened.Folder`), and `response.respond` answers with that.  A name that is refused is a
plain 404, whatever fallback there is.

The segments of the URL come decoded once and are never decoded again, so what was encoded
twice is a strange name and not a way up.  This is the first of two walls; `opened` is the
second and looks at what was really opened.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from urllib.parse import quote, unquote_to_bytes

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from takotwist.streams.files.opened import CannotOpen, Folder, IsFolder, OpenedFile
from takotwist.streams.files.policy import Policy
from takotwist.streams.files.response import answered_by_method, refuse_unopened, respond
from takotwist.streams.files.transmission import ErrorRenderer, is_gone, send_refusal

#: What a Linux file system allows for one name, and for a path, in bytes.
MAX_SEGMENT = 255
MAX_PATH = 4095

#: The one name with a leading dot that is public by design (RFC 8615).
WELL_KNOWN = b".well-known"

_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_DRIVE = re.compile(rb"[A-Za-z]:")


@attrs.frozen
class Inside:
    """A name below the folder.

    :ivar relative: the name, without a leading or trailing slash; empty for the folder itself.
    :ivar is_folder: whether the URL ended in a slash.
    """

    relative: bytes
    is_folder: bool


@attrs.frozen
class Refused:
    """A name that is not looked up at all.

    :ivar reason: for a log, never for the client.
    """

    reason: str


def resolve(segments: Sequence[bytes]) -> Inside | Refused:
    """The name that `segments` ask for.

    :param segments: what stood between the slashes after the folder's own URL,
        percent-decoded once.  No segment at all is the folder without its slash.
    """
    is_folder = bool(segments) and segments[-1] == b""
    names = segments[:-1] if is_folder else segments
    for place, name in enumerate(names):
        reason = _fault(name, first=place == 0)
        if reason is not None:
            return Refused(reason)
    relative = b"/".join(names)
    if len(relative) > MAX_PATH:
        return Refused("the path is too long")
    return Inside(relative, is_folder)


def _fault(name: bytes, *, first: bool) -> str | None:
    if not name:
        return "an empty segment"
    if len(name) > MAX_SEGMENT:
        return "a segment is too long"
    if b"/" in name or b"\\" in name:
        return "an encoded slash or a backslash"
    if _CONTROL.search(name):
        return "a control character"
    # This also covers "." and "..".
    if name.startswith(b".") and not (first and name == WELL_KNOWN):
        return "a name with a leading dot"
    if first and _DRIVE.fullmatch(name):
        return "a drive letter"
    return None


# The resource

# What the fallback depends on beside the path.
_NAVIGATION_VARY = (b"Accept", b"Sec-Fetch-Mode")
_HTML = re.compile(rb"(?:^|,)[ \t]*(?:text/html|application/xhtml\+xml)[ \t]*(?:;|,|$)", re.I)


def static_dir(
    path: str | bytes | os.PathLike[str],
    *,
    index: Sequence[str] = ("index.html",),
    fallback: str | None = None,
    precompressed: Sequence[str] = ("br", "gzip"),
    cache_control: str | Callable[[str], str | None] | None = "no-cache",
    render_error: ErrorRenderer | None = None,
    stall_timeout: float = 60.0,
    reactor: IReactorTime | None = None,
) -> StaticDir:
    """A resource that serves the files of the folder `path`.

    Put it into a tree with `putChild`, or return it from a Klein route with
    ``branch=True``.

    :param path: the folder; it has to exist now.
    :param index: names looked for, in order, where the URL names a folder.
    :param fallback: a file inside, sent with 200 where a browser navigates to a page that is no
        file (single page apps); it has to exist now.
    :param precompressed: as for `serve_file`.
    :param cache_control: as for `serve_file`; or a callable from a file's name inside the folder
        (``assets/app.3f2a.js``) to the value, so that names with a hash can be kept for ever.
    :raises NotADirectoryError: there is no such folder.
    :raises FileNotFoundError: the fallback is no file inside.
    """
    folder = Folder(path)
    fallback_name = None if fallback is None else os.fsencode(fallback.lstrip("/"))
    if fallback_name is not None:
        try:
            folder.open(fallback_name).close()
        except CannotOpen as cannot:
            raise FileNotFoundError(f"fallback {fallback!r}: {cannot.reason}") from None
    policy = Policy(
        cache_control=cache_control,
        precompressed=precompressed,
        render_error=render_error,
        stall_timeout=stall_timeout,
        reactor=reactor,
    )
    return StaticDir(folder, tuple(os.fsencode(name) for name in index), fallback_name, policy)


@implementer(IResource)
class StaticDir:
    """The resource; made by `static_dir`."""

    isLeaf = True
    server: object = None

    def __init__(
        self, folder: Folder, index: tuple[bytes, ...], fallback: bytes | None, policy: Policy
    ) -> None:
        self._folder = folder
        self._index = index
        self._fallback = fallback
        self._policy = policy

    def getChildWithDefault(self, name: bytes, request: Request) -> StaticDir:
        """Itself: everything below is its own business."""
        return self

    def putChild(self, path: bytes, child: object) -> None:
        """Not possible: a leaf has no children."""
        raise TypeError("a folder of files has no child resources; put them beside it")

    def render(self, request: Request) -> int:
        """Answer the request."""
        self.respond(request)
        return NOT_DONE_YET

    def respond(self, request: Request) -> None:
        """Answer the request, whose `postpath` names what is wanted."""
        if is_gone(request) or answered_by_method(request, self._policy.render_error):
            return
        wanted = resolve(request.postpath or ())
        if isinstance(wanted, Refused):
            send_refusal(request, 404, (), self._policy.render_error)
            return
        try:
            opened, name = self._open(wanted)
        except IsFolder:
            self._redirect(request)
        except CannotOpen as cannot:
            self._missing(request, wanted, cannot)
        else:
            self._found(request, opened, name)

    def _open(self, wanted: Inside) -> tuple[OpenedFile, bytes]:
        if not wanted.is_folder:
            return self._folder.open(wanted.relative), wanted.relative
        for name in self._index:
            candidate = wanted.relative + b"/" + name if wanted.relative else name
            try:
                return self._folder.open(candidate), candidate
            except CannotOpen as cannot:
                if cannot.status != 404:
                    raise
        raise CannotOpen(404, "a folder without an index")

    def _found(
        self, request: Request, opened: OpenedFile, name: bytes, vary: Sequence[bytes] = ()
    ) -> Deferred[bool]:
        def open_named(wanted: bytes) -> OpenedFile:
            # The original is open already; asking for it by name again could be another file.
            return opened if wanted == name else self._folder.open(wanted)

        try:
            return respond(request, open_named, name, self._policy, vary=vary)
        except BaseException:
            opened.close()
            raise

    def _missing(self, request: Request, wanted: Inside, cannot: CannotOpen) -> None:
        if self._fallback is None or cannot.status != 404:
            refuse_unopened(request, wanted.relative, cannot, self._policy)
            return
        if not _is_page(wanted) or not _is_navigation(request):
            vary = [(b"Vary", b", ".join(_NAVIGATION_VARY))] if _is_page(wanted) else []
            send_refusal(request, 404, vary, self._policy.render_error)
            return
        respond(*(request, self._folder.open, self._fallback, self._policy), vary=_NAVIGATION_VARY)

    def _redirect(self, request: Request) -> None:
        """To the same URL with a slash, so that relative links in the index are right.

        The Location is relative and starts with ``./`` and one quoted name: whatever was in
        the request, it cannot be read as another host or scheme.
        """
        path, mark, query = request.uri.partition(b"?")
        name = quote(unquote_to_bytes(path.rpartition(b"/")[2]), safe="")
        location = b"./" + name.encode("ascii") + b"/" + mark + query
        send_refusal(request, 308, [(b"Location", location)], self._policy.render_error)


def _is_page(wanted: Inside) -> bool:
    """True where the last name has no extension: ``/app/route`` and not ``/missing.js``."""
    return b"." not in wanted.relative.rpartition(b"/")[2]


def _is_navigation(request: Request) -> bool:
    """True where a browser goes to a page, as against a script that fetches something."""
    mode = request.requestHeaders.getRawHeaders(b"Sec-Fetch-Mode")
    if mode is not None and mode != [b"navigate"]:
        return False
    accept = b",".join(request.requestHeaders.getRawHeaders(b"Accept") or ())
    return _HTML.search(accept) is not None
