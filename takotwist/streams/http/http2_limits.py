"""Watch over a client of HTTP/2: what it begins and does not finish, or sends for nothing.

A glance at the headers of its frames, beside the library that reads them in full and
tells of neither.  Rule: it keeps no payload, and nothing that a client sends makes it
fail: what is wrong in a frame is the library's to say.
"""

from __future__ import annotations

import attrs

#: ``PRI * HTTP/2.0`` and so on (RFC 9113, section 3.4).
PREFACE_BYTES = 24
_HEADER_BYTES = 9

_DATA, _HEADERS, _CONTINUATION = 0x0, 0x1, 0x9
#: PRIORITY, RST_STREAM, SETTINGS, PING.  Kinds that are unknown count as these.
_CONTROL = frozenset({0x2, 0x3, 0x4, 0x6})
_WINDOW_UPDATE = 0x8
_END_HEADERS = 0x4

#: Frames for nothing that may come at once, and so many again in each second.  A browser
#: sends tens in a connection's life (RFC 9113, section 10.5).
CONTROL_BURST, CONTROL_RATE = 1000, 100.0

#: Openings of windows that are not for nothing: for each request, for each frame of data
#: that was sent, and for each KiB of it.  Most clients open both windows, some for each of
#: their reads.
OPENINGS_A_FRAME, OPENINGS_A_KIB = 2, 2


@attrs.define(slots=True)
class Intake:
    """Looks at what one client sends.

    :ivar max_block: bytes that the frames of one head may have together.
    :ivar progress: whether the newest bytes had anything of a request.
    :ivar begun: frames so far, those of one head counted once: which it is that is unfinished.
    """

    max_block: int
    progress: bool = attrs.field(default=False, init=False)
    begun: int = attrs.field(default=0, init=False)
    _preface: int = attrs.field(default=PREFACE_BYTES, init=False)
    _settled: bool = attrs.field(default=False, init=False)
    _header: bytes = attrs.field(default=b"", init=False)
    #: Bytes of the frame under way that have yet to come, and its kind.
    _left: int = attrs.field(default=0, init=False)
    _kind: int = attrs.field(default=_DATA, init=False)
    _in_head: bool = attrs.field(default=False, init=False)
    _block: int = attrs.field(default=0, init=False)
    _tokens: float = attrs.field(default=CONTROL_BURST, init=False)
    _openings: int = attrs.field(default=0, init=False)
    _since: float | None = attrs.field(default=None, init=False)

    @property
    def unfinished(self) -> bool:
        """True if the client has begun what it has to finish soon: the preface, its
        settings, a head, any frame but one of data."""
        return (
            not self._settled
            or self._in_head
            or bool(self._header)
            or (self._left > 0 and self._kind != _DATA)
        )

    @property
    def head(self) -> int:
        """Bytes of the head that is under way, as its frames state them; 0 where none is."""
        return self._block if self._in_head else 0

    def sent(self, size: int) -> None:
        """A frame of data has gone to the client, who may open its windows for it again.

        :param size: bytes.
        """
        self._openings += OPENINGS_A_FRAME + size * OPENINGS_A_KIB // 1024

    def take(self, data: bytes, now: float) -> bool:
        """Look at the next bytes.

        :param now: seconds.
        :return: whether the client may go on; not where it floods.
        """
        self.progress = False
        at = min(self._preface, len(data))
        self._preface -= at
        while at < len(data):
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
                at += step
                self.progress = self.progress or self._kind in (_DATA, _HEADERS, _CONTINUATION)
                continue
            header = self._header + data[at : at + _HEADER_BYTES - len(self._header)]
            at += len(header) - len(self._header)
            if len(header) < _HEADER_BYTES:
                self._header = header
                break
            self._header = b""
            if not self._begins(header, now):
                return False
        return True

    def _begins(self, header: bytes, now: float) -> bool:
        length, kind, flags = int.from_bytes(header[:3]), header[3], header[4]
        self._left, self._kind = length, kind
        # The first frame of a client is its settings, or the library refuses it.
        self._settled = True
        self.begun += kind != _CONTINUATION
        if kind == _HEADERS:
            # Some open the window of each answer at once, and many answers have no body.
            self._openings += OPENINGS_A_FRAME
        if kind in (_HEADERS, _CONTINUATION):
            self.progress = True
            self._block = length + (self._block if kind == _CONTINUATION else 0)
            self._in_head = not flags & _END_HEADERS
            if self._block > self.max_block:
                return False
        if kind == _WINDOW_UPDATE:
            self._openings -= 1
            if self._openings >= 0:
                return True
            self._openings = 0
            return self._pay(now)
        empty = not length and not flags and kind in (_DATA, _CONTINUATION)
        if empty or kind in _CONTROL or kind > _CONTINUATION:
            return self._pay(now)
        return True

    def _pay(self, now: float) -> bool:
        since = now if self._since is None else self._since
        earned = max(0.0, now - since) * CONTROL_RATE
        self._tokens, self._since = min(CONTROL_BURST, self._tokens + earned) - 1, now
        return self._tokens >= 0
