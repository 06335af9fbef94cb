"""What Autobahn sets on every connection, held once.

Autobahn copies 27 options to every connection, sets 35 attributes and pretty-prints
them for a log line that is off; that is most of its handshake's time.  Rule: what
stands here is the same for all connections, or differs for only some and late.
"""

from __future__ import annotations

from typing import Any

from autobahn.twisted.websocket import WebSocketServerProtocol
from autobahn.websocket.protocol import TrafficStats


class _Silence:
    """Takes the place of Autobahn's logger: every end is told to the caller instead."""

    def debug(self, *_: Any, **__: Any) -> None:
        pass

    info = warn = error = trace = failure = critical = debug


class _Unobserved:
    """Takes the place of Autobahn's future of the end, which nobody awaits."""

    def callback(self, _: object) -> None:
        pass


class AutobahnDefaults:
    """Stands before Autobahn's class among the bases of ours."""

    CONFIG_ATTRS: Any = ()
    log: Any = _Silence()
    is_closed: Any = _Unobserved()

    # options

    logOctets = logFrames = trackTimings = False
    utf8validateIncoming = applyMask = requireMaskedClientFrames = True
    maskServerFrames = serveFlashSocketPolicy = failByDrop = False
    echoCloseCodeReason = True
    autoFragmentSize = autoPingInterval = autoPingTimeout = 0
    autoPingRestartOnAnyTraffic = False
    #: Off, as all of Autobahn's timers: they are on txaio's loop, not on our reactor.
    openHandshakeTimeout = closeHandshakeTimeout = 0

    # where a connection stands when it is open

    state: Any = WebSocketServerProtocol.STATE_OPEN
    data: Any = b""
    current_frame: Any = None
    inside_message: Any = False
    websocket_version: Any = 13
    send_state: Any = WebSocketServerProtocol.SEND_STATE_GROUND
    send_queue: Any = ()
    triggered: Any = False
    trackedTimings: Any = None
    trafficStats: Any = TrafficStats()
    _perMessageCompress: Any = None
    _transport_details: Any = None

    # how it ends

    wasMaxFramePayloadSizeExceeded: Any = False
    wasMaxMessagePayloadSizeExceeded: Any = False
    closedByMe: Any = False
    failedByMe: Any = False
    droppedByMe: Any = False
    wasClean: Any = False
    wasNotCleanReason: Any = None
    wasServerConnectionDropTimeout: Any = False
    wasOpenHandshakeTimeout: Any = False
    wasCloseHandshakeTimeout: Any = False
    wasServingFlashSocketPolicyFile: Any = False
    localCloseCode: Any = None
    localCloseReason: Any = None
    remoteCloseCode: Any = None
    remoteCloseReason: Any = None

    # timers that are never begun

    openHandshakeTimeoutCall: Any = None
    closeHandshakeTimeoutCall: Any = None
    autoPingTimeoutCall: Any = None
    autoPingPending: Any = None
    autoPingPendingCall: Any = None
    autoPingPendingSeq: Any = 0
    autoPingPendingSent: Any = None
