"""Upgrade requests: to one channel, or to a connection that holds many topics.

connection -> checks -> authorize -> upgrade -> a speaker on a wire.  In the plain
protocol a refusal is the HTTP answer to the upgrade; a client that offers
``tako.v1`` gets it as the close of an accepted upgrade, because a browser cannot
read the status of a failed one.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from takotwist.codecs.frames import error_frame
from takotwist.codecs.wire_forms import WEBSOCKET, WEBSOCKET_MUX
from takotwist.errors import (
    BodyInvalid,
    CredentialsMissing,
    HostRejected,
    MethodNotAllowed,
    OriginRejected,
    Refusal,
    TransportNotEnabled,
    UpgradeRequired,
)
from takotwist.flow.authorize import Authorized
from takotwist.streams.http.interface import Request
from takotwist.streams.websocket.handshake import (
    check_handshake,
    choose_subprotocol,
    offered_subprotocols,
)
from takotwist.streams.websocket.upgrade import WebSocketUpgrade
from takotwist.transports.admission import Admission
from takotwist.transports.channel_speaker import ChannelSpeaker
from takotwist.transports.mux.mux import Mux
from takotwist.transports.request import read_all_presented, read_channel_request
from takotwist.transports.wire import WebSocketWire

#: The subprotocol that makes a connection explicit.
EXPLICIT = "tako.v1"

#: A frame of a client may be so many times the largest message: up to there it gets an
#: answer that names the fault, past it the connection is closed.
FRAME_FACTOR = 4


@attrs.define(slots=True)
class WebSocketTransport:
    """Answers upgrade requests.

    :ivar upgrade: to a connection whose frames may have so many bytes.
    :ivar max_live_frame_bytes: most bytes of one frame of a live object; 0 where there are none.
    """

    admission: Admission
    upgrade: Callable[[int], WebSocketUpgrade]
    max_live_frame_bytes: int = 0

    async def connect(self, request: Request, channel: str) -> None:
        """Connect to one channel.

        :param request: `twisted.web.iweb.IRequest`, nothing written yet.
        :raises Refusal: and then nothing has been written.
        """
        explicit = self._handshake(request)
        try:
            await self._connect(request, channel, explicit)
        except Refusal as refusal:
            self._refuse(request, refusal, explicit)

    async def connect_many(self, request: Request) -> None:
        """Open a connection that begins without a topic.

        :raises Refusal: and then nothing has been written.
        """
        if not self._handshake(request):
            raise BodyInvalid(f"Sec-WebSocket-Protocol must offer {EXPLICIT!r} here.")
        admission = self.admission
        try:
            presented = read_all_presented(request)
            admission.check_origin(request)
            with admission.enter(request) as slot:
                WebSocketWire(admission).open(
                    request,
                    self.upgrade(max(self._frame_bytes, self.max_live_frame_bytes)),
                    EXPLICIT,
                    slot,
                    "mux",
                    WEBSOCKET_MUX,
                    lambda wire: Mux(wire, admission, presented),
                )
        except Refusal as refusal:
            self._refuse(request, refusal, True)

    def turn_away(self, request: Request, refusal: Refusal) -> None:
        """Refuse an upgrade whatever it is to.

        :raises Refusal: and then nothing has been written.
        """
        self._refuse(request, refusal, self._handshake(request))

    async def _connect(self, request: Request, channel: str, explicit: bool) -> None:
        admission = self.admission
        channel_request = read_channel_request(request)
        asked = await admission.ask(channel, channel_request)
        definition = asked.definition
        if not definition.bidirectional:
            raise TransportNotEnabled
        missing = admission.missing(asked, channel_request)
        declared = definition.credentials
        # A header that is declared may still come in the first frame.
        by_frame = missing and declared is not None and declared.header_name is not None
        if missing and not by_frame:
            raise CredentialsMissing
        admission.check_origin(request)
        with admission.enter(request) as slot:
            admitted: Authorized | None = None
            if not by_frame:
                admitted = await admission.authorize(
                    asked, "connect", channel_request.presented, slot.address
                )
            cursor = channel_request.cursor
            presented = channel_request.presented.kept_for(definition)
            wire = WebSocketWire(admission)

            def speak(wire: WebSocketWire) -> ChannelSpeaker:
                speaker = ChannelSpeaker(
                    wire,
                    admission,
                    asked,
                    presented,
                    cursor,
                    channel_request.reset_when_stale,
                    explicit,
                )
                speaker.begin(admitted)
                return speaker

            subprotocol = EXPLICIT if explicit else None
            upgrade = self.upgrade(self._frame_bytes)
            wire.open(request, upgrade, subprotocol, slot, "websocket", WEBSOCKET, speak)

    @property
    def _frame_bytes(self) -> int:
        return FRAME_FACTOR * self.admission.settings.limits.max_message_bytes

    def _handshake(self, request: Request) -> bool:
        """Test whether the client speaks ``tako.v1``.

        :raises Refusal: the handshake is not good.
        """
        check_upgrade(request)
        offered = offered_subprotocols(request.requestHeaders)
        return choose_subprotocol((EXPLICIT,), offered) is not None

    def _refuse(self, request: Request, refusal: Refusal, explicit: bool) -> None:
        if not explicit:
            raise refusal
        self.admission.answers.count(refusal)
        connection = self.upgrade(self._frame_bytes).upgrade(
            request, on_message=lambda payload, is_binary: None, subprotocol=EXPLICIT
        )
        if connection is not None:
            if isinstance(refusal, OriginRejected | HostRejected):
                # The reason of a close is the code, and a browser shows its page nothing
                # else; whoever looks at its frames finds which origin or host it was.
                connection.send_text(error_frame(refusal))
            connection.close(refusal.close_code, refusal.code)


def check_upgrade(request: Request) -> None:
    """:raises Refusal: the handshake is not good."""
    bad = check_handshake(request.method, request.clientproto, request.requestHeaders)
    if bad is None:
        return
    for name, value in bad.headers:
        request.responseHeaders.setRawHeaders(name, [value])
    if bad.status == 426:
        raise UpgradeRequired(bad.sentence)
    if bad.status == 405:
        raise MethodNotAllowed(bad.sentence)
    raise BodyInvalid(bad.sentence)
