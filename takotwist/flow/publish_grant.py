"""The permission of one subscription's client to publish.

The grant that opened the connection answers ``connect``; what the app says to
``publish`` may differ (guests listen, members speak).  It is asked when the first
frame comes, so a client that only listens costs no question.  Rule: an answer is
kept as long as the grant it belongs to; a failure to ask is not an answer.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.logger import Logger

from takotwist.core.authorization import REFUSED_SECONDS, Grant
from takotwist.errors import Refusal, VerifyRejected
from takotwist.flow.authorize import Authorized, AuthorizerService

_logger = Logger()


@attrs.define(slots=True)
class PublishGrant:
    """The app's answer to ``publish``, for one subscription.

    :param admitted: the grant of the connection, or one to publish.
    :ivar wall: unix time in seconds.
    """

    _admitted: Authorized
    _authorizing: AuthorizerService
    _wall: Callable[[], float]
    _granted: Authorized | None = attrs.field(default=None, init=False)
    _refused: Refusal | None = attrs.field(default=None, init=False)
    _refused_at: float = attrs.field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        self.renew(self._admitted)

    def renew(self, admitted: Authorized) -> None:
        """New credentials were accepted: what was said of the former no longer counts."""
        self._admitted = admitted
        asked_of = admitted.request
        needs_no_question = asked_of is None or asked_of.operation == "publish"
        self._granted = admitted if needs_no_question else None
        self._refused = None

    @property
    def expired(self) -> bool:
        """`True` once the grant that this began with is void."""
        return self._admitted.expired(self._wall())

    def granted(self) -> Grant | None:
        """The grant that is at hand, or `None` where the app must be asked."""
        granted = self._granted
        if granted is None or granted.expired(self._wall()):
            return None
        return granted.grant

    async def ask(self) -> Grant:
        """The grant, asked for where none is at hand.

        :raises VerifyRejected: the app says no.
        :raises Refusal: it could not be asked.
        """
        grant = self.granted()
        while grant is None:
            if self._refused is not None and self._seconds() < self._refused_at + REFUSED_SECONDS:
                raise self._refused
            grant = await self._ask(self._admitted)
        return grant

    async def _ask(self, admitted: Authorized) -> Grant | None:
        """One question; `None` where the credentials changed meanwhile."""
        try:
            granted = await self._authorizing.authorize_publish(admitted)
        except VerifyRejected as refusal:
            if admitted is not self._admitted:
                return None
            self._refused, self._refused_at = refusal, self._seconds()
            _logger.info(
                "{subject} may not publish to {topic}",
                subject=admitted.grant.subject or "a client",
                topic=admitted.asked.topic.key,
            )
            raise
        if admitted is not self._admitted:
            return None
        self._granted = granted
        return granted.grant

    def _seconds(self) -> float:
        return self._authorizing.seconds()
