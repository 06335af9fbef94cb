"""Upgrades at ``/app/KEY``: who comes, in which version, and whether there is room.

Rule: a refusal is an accepted upgrade that is closed with its code, because ``pusher-js`` reads
no other answer; without it it would try again for ever.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import attrs

from takotwist.codecs.websocket_frame import close_reason
from takotwist.errors import BodyInvalid, Overloaded, RateLimited, Refusal
from takotwist.facades.pusher.apps import PusherSettings
from takotwist.facades.pusher.frames import error_frame
from takotwist.facades.pusher.hub import Hub
from takotwist.facades.pusher.speaker import PusherSpeaker
from takotwist.facades.pusher.wire import (
    BAD_PATH,
    BAD_PROTOCOL,
    BAD_VERSION,
    DISABLED,
    NO_APP,
    NO_PROTOCOL,
    OVER_CAPACITY,
    TLS_ONLY,
    UNAUTHORIZED,
    PusherWire,
)
from takotwist.streams.http.interface import Request
from takotwist.streams.http.peer import OriginPolicy
from takotwist.streams.websocket.upgrade import WebSocketUpgrade
from takotwist.transports.admission import Admission
from takotwist.transports.request import read_fields
from takotwist.transports.websocket import FRAME_FACTOR, check_upgrade
from takotwist.transports.wire import WebSocketWire

#: Versions that are spoken; since 5 data is a string within JSON.
PROTOCOLS = ("5", "6", "7")

#: A plus sign that was not encoded is a space.
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+ _-]{0,63}")

#: Of a frame, beside its data.
ENVELOPE_BYTES = 16 * 1024


class Refused(Exception):
    """A connection that is closed at once."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@attrs.define(slots=True)
class PusherSockets:
    """Answers upgrades.

    :ivar by_key: the apps.
    :ivar upgrade: to a connection whose frames may have so many bytes.
    :ivar origins: pages that may connect.
    :ivar is_secure: whether a request came by TLS, to a proxy in front as well.
    :ivar new_socket_id: a fresh id of a connection.
    """

    admission: Admission
    settings: PusherSettings
    by_key: dict[str, Hub]
    upgrade: Callable[[int], WebSocketUpgrade]
    origins: OriginPolicy
    is_secure: Callable[[Request], bool]
    new_socket_id: Callable[[], str]

    async def connect(self, request: Request, key: str) -> None:
        """Connect to an app.

        :raises Refusal: the handshake is not good, or the server stops; nothing was written.
        """
        check_upgrade(request)
        try:
            if "/" in key:
                raise Refused(BAD_PATH, "The path is none of an app: /app/KEY is.")
            self._connect(request, self._app(request, key))
        except Refused as refused:
            self._close(request, refused)
        except (Overloaded, RateLimited) as refusal:
            self.admission.answers.count(refusal)
            self._close(request, Refused(OVER_CAPACITY, refusal.sentence))

    def _app(self, request: Request, key: str) -> Hub:
        hub = self.by_key.get(key)
        if hub is None:
            raise Refused(NO_APP, "There is no app with this key.")
        if not hub.app.enabled:
            raise Refused(DISABLED, "The app is disabled.")
        if hub.app.tls_only and not self.is_secure(request):
            raise Refused(TLS_ONLY, "The app takes connections over TLS only.")
        query = dict(self._query(request))
        protocol = query.get("protocol")
        if not protocol:
            raise Refused(NO_PROTOCOL, "The query names no protocol version.")
        if protocol not in PROTOCOLS:
            spoken = ", ".join(PROTOCOLS)
            raise Refused(BAD_PROTOCOL, f"The protocol versions {spoken} are spoken here.")
        version = query.get("version")
        if version and not _VERSION.fullmatch(version):
            raise Refused(BAD_VERSION, "The version of the client's library is none.")
        origin = request.getHeader("origin")
        if origin and not self.origins.permits(origin, None):
            self.admission.origin_refused(request, origin)
            raise Refused(UNAUTHORIZED, "A page of this origin may not connect.")
        return hub

    @staticmethod
    def _query(request: Request) -> list[tuple[str, str]]:
        try:
            return read_fields(request.uri)
        except Refusal as bad:
            raise BodyInvalid(bad.sentence) from None

    def _connect(self, request: Request, hub: Hub) -> None:
        admission, app = self.admission, hub.app
        if app.max_connections and len(hub.sockets) >= app.max_connections:
            raise Refused(OVER_CAPACITY, "The app has as many connections as it may.")
        with admission.enter(request) as slot:
            wire = PusherWire(admission)

            def speak(_: WebSocketWire) -> PusherSpeaker:
                speaker = PusherSpeaker(wire, hub, admission, self.new_socket_id())
                speaker.begin()
                # No lifetime: its client carries no cursor, and would miss what comes meanwhile.
                return speaker

            wire.open(request, self._upgrade(), None, slot, "pusher", hub.form, speak)

    def _upgrade(self) -> WebSocketUpgrade:
        return self.upgrade(FRAME_FACTOR * self.settings.max_event_bytes + ENVELOPE_BYTES)

    def _close(self, request: Request, refused: Refused) -> None:
        connection = self._upgrade().upgrade(request, on_message=lambda payload, is_binary: None)
        if connection is not None:
            message = str(refused)
            connection.send_text(error_frame(message, refused.code))
            connection.close(refused.code, close_reason(message).decode())
