"""Each channel is asked where it was defined."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from takotwist.adapters.authorize_router import AuthorizerRouter
from takotwist.core.authorization import AuthRequest, Drop, Frame, Grant
from takotwist.core.channel import ChannelDefinition, Defined, Registry
from takotwist.errors import ChannelUnknown
from takotwist.ports import IAuthorizer


class Named:
    """An authorizer that says its name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def authorize(self, request: AuthRequest) -> Deferred[Grant]:
        return succeed(Grant(subject=self.name))

    def dispatch(self, frame: Frame) -> Deferred[Any]:
        return succeed(Drop(self.name))


class TestRouter(SynchronousTestCase):
    def setUp(self) -> None:
        self.registry = Registry.of(
            Defined(ChannelDefinition(name=name), "here", local=name == "near")
            for name in ("near", "far")
        )

    def router(self, elsewhere: Any) -> AuthorizerRouter:
        local: Any = Named("local")
        return AuthorizerRouter(self.registry, local, elsewhere)

    def test_routes(self) -> None:
        """Channels of this process here, the others over there."""
        router = self.router(Named("http"))
        verifyObject(IAuthorizer, router)
        for channel, name in (("near", "local"), ("far", "http")):
            grant = self.successResultOf(router.authorize(AuthRequest(channel, "subscribe", {})))
            self.assertEqual(grant.subject, name)
            verdict = self.successResultOf(router.dispatch(Frame(channel, {}, "msg", b"1")))
            self.assertEqual(verdict, Drop(name))

    def test_nobody_to_ask(self) -> None:
        """An unknown channel, or one whose app is not configured, is unknown."""
        router = self.router(None)
        for channel in ("far", "none"):
            asked = router.authorize(AuthRequest(channel, "subscribe", {}))
            self.failureResultOf(asked, ChannelUnknown)
            frame = Frame(channel, {}, "msg", b"1")
            self.failureResultOf(router.dispatch(frame), ChannelUnknown)
