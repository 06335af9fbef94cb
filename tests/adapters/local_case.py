"""A chat whose app is in this process, and a test case that sees what is logged."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from takotwist import Channel, Grant, define_channel
from takotwist.adapters.authorize_local import LocalAuthorizer
from takotwist.core.authorization import AuthRequest, Frame, HeaderCredential
from tests.adapters.stepped_threads import SteppedPool, SteppedReactor


class Room(msgspec.Struct, rename="camel"):
    room_id: str


class Msg(msgspec.Struct):
    text: str


def chat() -> Channel[Room]:
    return define_channel("chat", params=Room, messages={"msg": Msg})


REQUEST = AuthRequest("chat", "subscribe", {"roomId": "a"}, HeaderCredential("s3cret-token"))


def frame(data: bytes = b'{"text":"hi"}', type: str = "msg") -> Frame:
    return Frame("chat", {"roomId": "a"}, type, data, "u1")


class AuthorizeLocalCase(SynchronousTestCase):
    """A reactor, a pool, and the lines that were logged."""

    def setUp(self) -> None:
        self.reactor = SteppedReactor()
        self.pool = SteppedPool()
        self.logged: list[str] = []

        def observe(event: Any) -> None:
            if event.get("log_level") in (LogLevel.error, LogLevel.critical):
                self.logged.append(event["log_format"].format(**event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)

    def authorizer(self, *channels: Channel[Any]) -> LocalAuthorizer:
        return LocalAuthorizer(channels, self.reactor, self.pool)  # type: ignore[arg-type]

    def asked(self, channel: Channel[Any], request: AuthRequest = REQUEST) -> Deferred[Grant]:
        return self.authorizer(channel).authorize(request)
