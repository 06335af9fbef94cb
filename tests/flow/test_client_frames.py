"""A client's frame goes through the app's handler before anyone sees it."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from takotwist.core.authorization import Drop, Fanout, Frame, Grant, Reject, Verdict
from takotwist.core.channel import ChannelDefinition, Lifecycle, Registry
from takotwist.core.log import Appended
from takotwist.core.metrics import Metrics
from takotwist.core.params import PayloadSchema
from takotwist.core.topic import Draft, Topic
from takotwist.errors import AuthUnavailable, BodyInvalid, InternalError, VerifyRejected
from takotwist.flow.authorize import Authorized, AuthorizerService
from takotwist.flow.back_pressure import MAX_FRAMES_QUEUED
from takotwist.flow.client_frames import ClientFrames
from takotwist.flow.publish_grant import PublishGrant
from takotwist.flow.topic_request import TopicRequest
from takotwist.ports import IAuthorizer
from tests.settings import limited


@implementer(IAuthorizer)
class App:
    """An app that answers frames when the test says so."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.answers: list[Deferred[Verdict]] = []
        self.at_once: Any = None

    def authorize(self, request: Any) -> Deferred[Grant]:
        """Not asked here."""
        raise NotImplementedError

    def dispatch(self, frame: Frame) -> Deferred[Verdict]:
        """See `IAuthorizer`."""
        self.frames.append(frame)
        if self.at_once is not None:
            return self.at_once(frame)
        answer: Deferred[Verdict] = Deferred()
        self.answers.append(answer)
        return answer


class PublisherService:
    """Notes what is published."""

    def __init__(self) -> None:
        self.published: list[tuple[Draft, str | None]] = []
        self.answers: list[Deferred[Appended]] = []

    def publish(
        self, topic: Topic, drafts: Any, lifecycle: Lifecycle, key: str | None, newest: Any
    ) -> Deferred[Appended]:
        """See `PublisherService`."""
        self.published.append((drafts[0], key))
        answer: Deferred[Appended] = Deferred()
        self.answers.append(answer)
        return answer


class TestClientFrames(SynchronousTestCase):
    """What becomes of a frame."""

    def setUp(self) -> None:
        self.app, self.publishing = App(), PublisherService()
        self.outcomes: list[Any] = []
        self.full: list[bool] = []

    def frames(self, **definition: Any) -> ChannelDefinition:
        """Frames of a channel defined so."""
        settings: dict[str, Any] = {"name": "c", "handlers": frozenset({"msg"})}
        channel = ChannelDefinition(**settings | definition)
        admitted = Authorized(
            TopicRequest(channel, {"r": 1}, Topic.of("c", {"r": 1})), Grant(subject="ann")
        )
        authorizing = AuthorizerService(Registry(), self.app, Metrics(), lambda: 0.0, limited())
        self.way_in = ClientFrames(
            admitted.asked,
            "192.0.2.1",
            PublishGrant(admitted, authorizing, lambda: 0.0),
            self.app,
            authorizing,
            self.publishing,
            self.full.append,
        )
        return channel

    def send(self, kind: str = "msg", data: bytes = b"1", key: str | None = None) -> None:
        """A frame comes."""
        self.way_in.received(Draft(kind, data), key, self.outcomes.append)

    def test_handled(self) -> None:
        """The handler's value is stored, under the frame's type, with the frame's key."""
        self.frames()
        self.send(data=b'"in"', key="k")
        self.assertEqual(
            self.app.frames, [Frame("c", {"r": 1}, "msg", b'"in"', "ann", "192.0.2.1")]
        )
        self.assertEqual(self.publishing.published, [])
        self.app.answers[0].callback(Fanout(b'"out"'))
        self.assertEqual(self.publishing.published, [(Draft("msg", b'"out"'), "k")])
        self.assertEqual(self.outcomes, [])
        stored = Appended(())
        self.publishing.answers[0].callback(stored)
        self.assertEqual(self.outcomes, [stored])

    def test_dropped(self) -> None:
        """A handler that returns nothing, or fails, drops the frame."""
        self.frames()
        for verdict in (Drop(), Drop("it failed")):
            self.app.at_once = lambda frame, verdict=verdict: succeed(verdict)
            self.send()
        self.assertEqual((self.outcomes, self.publishing.published), ([None, None], []))

    def test_rejected(self) -> None:
        """A handler's no reaches the sender with its reason."""
        self.frames()
        self.app.at_once = lambda frame: succeed(Reject("too loud"))
        self.send()
        self.assertIsInstance(self.outcomes[0], VerifyRejected)
        self.assertEqual(self.outcomes[0].sentence, "too loud")

    def test_app_away(self) -> None:
        """An app that cannot be asked is told as such."""
        self.frames()
        self.app.at_once = lambda frame: fail(AuthUnavailable())
        self.send()
        self.assertIsInstance(self.outcomes[0], AuthUnavailable)

    def test_our_own_fault(self) -> None:
        """An error that nobody expected is internal-error for the sender and a line in the log."""
        self.frames()
        self.app.at_once = lambda frame: fail(ZeroDivisionError())
        self.send()
        self.assertIsInstance(self.outcomes[0], InternalError)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_unhandled(self) -> None:
        """A type without a handler is dropped, or forwarded where the channel says so."""
        self.frames()
        self.send("other")
        self.assertEqual((self.outcomes, self.publishing.published), ([None], []))
        self.frames(forward_unhandled=True)
        self.send("other")
        self.assertEqual(self.publishing.published, [(Draft("other", b"1"), None)])
        self.assertEqual(self.app.frames, [])

    def test_the_app_decides_all(self) -> None:
        """An app elsewhere that said nothing of its handlers gets every frame."""
        self.frames(handlers=None)
        self.send("anything")
        self.assertEqual(len(self.app.frames), 1)

    def test_payloads_are_checked_first(self) -> None:
        """The app is not asked about a payload that does not fit."""
        self.frames(messages={"msg": PayloadSchema.of({"type": "string"}, "msg")})
        self.send(data=b"5")
        self.assertIsInstance(self.outcomes[0], BodyInvalid)
        self.send("nope", data=b'"x"')
        self.assertIsInstance(self.outcomes[1], BodyInvalid)
        self.assertEqual(self.app.frames, [])

    def test_in_order(self) -> None:
        """The second frame's handler runs after the first's, and does not wait for its commit."""
        self.frames()
        self.send(data=b"1")
        self.send(data=b"2")
        self.assertEqual(len(self.app.frames), 1)
        self.app.answers[0].callback(Fanout(b"1"))
        self.assertEqual(len(self.app.frames), 2)
        self.app.answers[1].callback(Fanout(b"2"))
        self.assertEqual([draft.data for draft, _ in self.publishing.published], [b"1", b"2"])

    def test_bounded(self) -> None:
        """When many wait, reading stops, and goes on when they are fewer."""
        self.frames()
        for _ in range(MAX_FRAMES_QUEUED + 1):
            self.send()
        self.assertEqual(self.full, [True])
        self.app.answers[0].callback(Drop())
        self.assertEqual(self.full, [True, False])

    def test_closed(self) -> None:
        """After the connection has gone nothing that waits is handled; each has its outcome."""
        self.frames()
        self.send()
        self.send()
        self.way_in.close()
        self.assertEqual(self.outcomes, [None])
        self.app.answers[0].callback(Fanout(b"1"))
        self.publishing.answers[0].callback(Appended(()))
        self.send()
        self.assertEqual(self.outcomes, [None, Appended(()), None])
        self.assertEqual(len(self.app.frames), 1)
