"""The app's answer whether a client may publish: asked late, kept as long as it holds."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.authorization import REFUSED_SECONDS, AuthRequest, Grant
from takotwist.core.channel import ChannelDefinition
from takotwist.core.params import Params
from takotwist.core.topic import Topic
from takotwist.errors import AuthUnavailable, VerifyRejected
from takotwist.flow.authorize import Authorized
from takotwist.flow.publish_grant import PublishGrant
from takotwist.flow.topic_request import TopicRequest

ASKED = TopicRequest(ChannelDefinition(name="chat", params=Params.none()), {}, Topic.of("chat", {}))


def admitted(operation: Any = "connect", subject: str = "ann", until: float | None = None) -> Any:
    """Somebody who was let in, by a question of that operation; `None`: nobody was asked."""
    request = None if operation is None else AuthRequest("chat", operation, {}, None, None, "")
    return Authorized(ASKED, Grant(subject=subject, expires_at=until), request)


class Authorizing:
    """The part of `AuthorizerService` that asks."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked: list[Authorized] = []
        self.answers: list[Deferred[Authorized]] = []

    def seconds(self) -> float:
        """See `AuthorizerService`."""
        return self.now

    async def authorize_publish(self, one: Authorized) -> Authorized:
        """See `AuthorizerService`."""
        self.asked.append(one)
        self.answers.append(Deferred())
        return await self.answers[-1]


class PublishGrantTests(SynchronousTestCase):
    """`PublishGrant`."""

    def setUp(self) -> None:
        self.wall = 1000.0
        self.app = Authorizing()

    def grant(self, one: Any) -> PublishGrant:
        """The permission of a subscription that began so."""
        service: Any = self.app
        return PublishGrant(one, service, lambda: self.wall)

    def ask(self, grant: PublishGrant) -> Deferred[Grant]:
        """Ask for it."""
        return ensureDeferred(grant.ask())

    def test_nobody_to_ask(self) -> None:
        """Where nobody was asked, or the question was of a publish, the first answer holds."""
        for operation in (None, "publish"):
            grant = self.grant(admitted(operation))
            self.assertEqual(self.successResultOf(self.ask(grant)).subject, "ann")
        self.assertEqual(self.app.asked, [])

    def test_asked_once(self) -> None:
        """Who only listens costs no question; the answer to the first frame holds for the next."""
        grant = self.grant(admitted())
        self.assertIsNone(grant.granted())
        self.assertEqual(self.app.asked, [])
        first = self.ask(grant)
        self.app.answers[0].callback(admitted("publish", "bob"))
        self.assertEqual(self.successResultOf(first).subject, "bob")
        self.assertEqual(self.successResultOf(self.ask(grant)).subject, "bob")
        self.assertEqual(len(self.app.asked), 1)

    def test_void(self) -> None:
        """A grant to publish that is over is asked for again."""
        grant = self.grant(admitted("publish", until=1010.0))
        self.assertIsNotNone(grant.granted())
        self.assertFalse(grant.expired)
        self.wall = 1010.0
        self.assertIsNone(grant.granted())
        self.assertTrue(grant.expired)
        self.assertNoResult(self.ask(grant))
        self.assertEqual(len(self.app.asked), 1)

    def test_refused(self) -> None:
        """A no holds for a while, so that a client that goes on is no flood of questions; it is
        in the log."""
        grant = self.grant(admitted())
        first = self.ask(grant)
        with capturedLogs() as logs:
            self.app.answers[0].errback(VerifyRejected("Not you."))
        self.failureResultOf(first, VerifyRejected)
        self.assertIn("ann may not publish", formatEvent(logs[0]))
        self.app.now += REFUSED_SECONDS - 0.1
        self.failureResultOf(self.ask(grant), VerifyRejected)
        self.assertEqual(len(self.app.asked), 1)
        self.app.now += 0.2
        self.assertNoResult(self.ask(grant))
        self.assertEqual(len(self.app.asked), 2)

    def test_not_an_answer(self) -> None:
        """A failure to ask says nothing: the next frame asks again."""
        grant = self.grant(admitted())
        first = self.ask(grant)
        self.app.answers[0].errback(AuthUnavailable("Away."))
        self.failureResultOf(first, AuthUnavailable)
        second = self.ask(grant)
        self.app.answers[1].callback(admitted("publish"))
        self.successResultOf(second)

    def test_new_credentials(self) -> None:
        """They are asked about anew, also where an answer about the former is on its way, whichever
        that is; a refusal of the former does not hold for them."""
        for answer in (admitted("publish", "old"), VerifyRejected("Not you.")):
            self.setUp()
            grant = self.grant(admitted())
            waiting = self.ask(grant)
            renewed = admitted(subject="new")
            grant.renew(renewed)
            if isinstance(answer, VerifyRejected):
                self.app.answers[0].errback(answer)
            else:
                self.app.answers[0].callback(answer)
            self.assertNoResult(waiting)
            self.assertIs(self.app.asked[1], renewed)
            self.app.answers[1].callback(admitted("publish", "new"))
            self.assertEqual(self.successResultOf(waiting).subject, "new")
