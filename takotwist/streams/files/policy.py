"""Options of serving files, as one value that every answer about a file is made from.

They are checked when the value is made, so a mistake of the app shows at start for a
folder, and never in the middle of an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
from twisted.internet.interfaces import IReactorTime

from takotwist.streams.files.answer import Headers
from takotwist.streams.files.opened import check_codings
from takotwist.streams.files.transmission import ErrorRenderer


@attrs.frozen
class Policy:
    """Options of serving, the same for every file of a folder.

    :ivar cache_control: the header's value, or a callable from the file's name to it;
        `None` sends none.
    :ivar precompressed: codings for which sidecars are looked for, the favourite first.
    :ivar render_error: makes the app's own error pages.
    :ivar stall_timeout: seconds after which a reader that takes nothing is dropped.
    :ivar reactor: the clock; `None` takes the one of the request's site.
    :ivar headers: further headers for each answer that is about the file.
    """

    cache_control: str | Callable[[str], str | None] | None = "no-cache"
    precompressed: tuple[str, ...] = attrs.field(default=(), converter=check_codings)
    render_error: ErrorRenderer | None = None
    stall_timeout: float = 60.0
    reactor: IReactorTime | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def headers_for(self, name: str, vary: Sequence[bytes]) -> Headers:
        """Headers of every answer about the file `name`, refusals and 304 too."""
        headers = [*self.headers, (b"X-Content-Type-Options", b"nosniff")]
        control = self.cache_control(name) if callable(self.cache_control) else self.cache_control
        if control is not None:
            headers.append((b"Cache-Control", control.encode("ascii")))
        if self.precompressed:
            vary = (*vary, b"Accept-Encoding")
        if vary:
            headers.append((b"Vary", b", ".join(vary)))
        return headers
