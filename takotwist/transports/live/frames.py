"""Routing of live frames among those of a connection with many topics.

Rule: whether a frame is one is decided by its `op` alone; what is none is left
to `Mux`.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable
from typing import Protocol, cast

import attrs
import msgspec

from takotwist.flow.topic_request import RequestCredentials
from takotwist.interfaces import Coro
from takotwist.live.link import Link, LiveWire
from takotwist.transports.admission import Admission
from takotwist.transports.wire import Wire


class _Head(msgspec.Struct):
    op: str | None = None


_HEAD = msgspec.json.Decoder(_Head)


class _Live(LiveWire, Protocol):
    on_pressure: Callable[[bool], None]

    @property
    def left(self) -> bool: ...


@attrs.define(slots=True, eq=False)
class LiveFrames:
    """Picks out the frames of live objects on one wire."""

    _wire: _Live
    _link: Link

    def take(self, text: bytes, track: Callable[[Coro[None]], None]) -> bool:
        """Take a text frame, where it is a live one; tell whether it was.

        :param track: runs the rest of the work of the frame.
        """
        self._link.heard()
        if text[:1] == b"~":
            # A binary frame where frames are lines.
            try:
                payload = b64decode(text[1:].strip(), validate=True)
            except ValueError:
                payload = b""
            return self.take_binary(payload)
        if b'"live' not in text and b'"pong"' not in text:
            return False
        try:
            op = _HEAD.decode(text).op
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        if op == "pong":
            return True
        if op is None or not (op == "live" or op.startswith("live.")):
            return False
        doing = self._link.received(op, text)
        if doing is not None:
            track(doing)
        return True

    def take_binary(self, payload: bytes) -> bool:
        """Take a binary frame: all of them are live ones."""
        self._link.received_binary(payload)
        return True

    def lost(self) -> None:
        """The wire is gone."""
        self._link.lost(left=self._wire.left)


def live_frames(
    wire: Wire, admission: Admission, presented: RequestCredentials
) -> LiveFrames | None:
    """The router of a wire's live frames, where live objects are served on it."""
    if admission.live is None or not hasattr(wire, "on_pressure"):
        return None
    live = cast(_Live, wire)
    link = admission.live(live, presented, wire.session.address)
    live.on_pressure = link.block
    return LiveFrames(live, link)
