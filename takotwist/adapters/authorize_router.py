"""Asks whoever defined the channel: this process, or the app elsewhere."""

from __future__ import annotations

import attrs
from twisted.internet.defer import Deferred, fail
from zope.interface import implementer

from takotwist.core.authorization import AuthRequest, Frame, Grant, Verdict
from takotwist.core.channel import Registry
from takotwist.errors import ChannelUnknown
from takotwist.ports import IAuthorizer


@implementer(IAuthorizer)
@attrs.frozen(slots=True)
class AuthorizerRouter:
    """Routes by `Defined.local`.

    :ivar registry: the server's own, so that a reload is seen at once.
    :ivar elsewhere: `None` where no app is configured.
    """

    registry: Registry
    local: IAuthorizer
    elsewhere: IAuthorizer | None = None

    def authorize(self, request: AuthRequest) -> Deferred[Grant]:
        """See `IAuthorizer`."""
        try:
            return self._owner(request.channel).authorize(request)
        except ChannelUnknown as unknown:
            return fail(unknown)

    def dispatch(self, frame: Frame) -> Deferred[Verdict]:
        """See `IAuthorizer`."""
        try:
            return self._owner(frame.channel).dispatch(frame)
        except ChannelUnknown as unknown:
            return fail(unknown)

    def _owner(self, channel: str) -> IAuthorizer:
        defined = self.registry.get(channel)
        if defined.local:
            return self.local
        if self.elsewhere is None:
            raise ChannelUnknown(f"Channel {channel!r} has no app that could be asked.")
        return self.elsewhere
