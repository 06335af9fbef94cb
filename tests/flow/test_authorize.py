"""Channel known, params valid, credentials present, then the app is asked."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred, fail, succeed
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from takotwist.core.authorization import AuthRequest, Frame, Grant, HeaderCredential, Verdict
from takotwist.core.channel import ChannelDefinition, Credentials, Defined, Registry
from takotwist.core.metrics import Metrics
from takotwist.core.params import Params
from takotwist.errors import ChannelUnknown, CredentialsMissing, ParamsInvalid, VerifyRejected
from takotwist.flow.authorize import AuthorizerService
from takotwist.flow.topic_request import NO_CREDENTIALS, RequestCredentials
from takotwist.ports import IAuthorizer
from tests.flow.test_topic_request import presented
from tests.settings import change_limits, limited

ROOM = Params.of(
    {"type": "object", "properties": {"room": {"type": "string"}, "count": {"type": "integer"}}}
)


@implementer(IAuthorizer)
class App:
    """An app that answers at once."""

    def __init__(self) -> None:
        self.asked: list[AuthRequest] = []
        self.answer: Any = Grant(subject="ann")

    def authorize(self, request: AuthRequest) -> Deferred[Grant]:
        """See `IAuthorizer`."""
        self.asked.append(request)
        return succeed(self.answer) if isinstance(self.answer, Grant) else fail(self.answer)

    def dispatch(self, frame: Frame) -> Deferred[Verdict]:
        """Not asked here."""
        raise NotImplementedError


class TestAuthorizing(SynchronousTestCase):
    """Who may do what."""

    def setUp(self) -> None:
        self.app, self.registry = App(), Registry()
        self.settings = limited()
        self.authorizing = AuthorizerService(
            self.registry, self.app, Metrics(), lambda: 0.0, self.settings
        )

    def define(self, **settings: Any) -> ChannelDefinition:
        """Define the channel ``c``."""
        definition = ChannelDefinition(**{"name": "c", "params": ROOM, **settings})
        self.registry.add(Defined(definition, "here", local=True))
        return definition

    def ask(self, definition: ChannelDefinition, credentials: RequestCredentials) -> Any:
        """Ask to connect to a room."""
        asked = self.authorizing.bind_query(definition, {"room": ["a"], "count": ["5"]})
        return ensureDeferred(self.authorizing.authorize(asked, "connect", credentials))

    def test_long_names(self) -> None:
        """A name is bounded as it is printed, params outside of the topic included, and what is
        longer before that is not even validated."""
        change_limits(self.settings, max_topic_bytes=64)
        definition = self.define(partition_by=("count",))
        for bind, wrap in (
            (self.authorizing.bind_query, lambda text: [text]),
            (self.authorizing.bind, lambda text: text),
        ):
            bind(definition, {"room": wrap("r" * 57)})
            for room, size in (("r" * 58, 65), ("ö" * 20, 127), ("r" * 1000, 1004)):
                said = self.assertRaises(ParamsInvalid, bind, definition, {"room": wrap(room)})
                self.assertIn(f"{size} bytes; at most 64", said.sentence)
            self.assertRaises(ParamsInvalid, bind, definition, {"n" * 100: wrap("")})
        nested = {"room": "a", "count": [7] * 100}
        self.assertRaises(ParamsInvalid, self.authorizing.bind, definition, nested)

    def test_no_name(self) -> None:
        """What can be no channel's name is not looked for in the app's registry, nor said back."""

        def refresh() -> Deferred[bool]:
            raise AssertionError("the app was asked")

        self.authorizing.refresh = refresh
        for name in ("x" * 129, "", "a/b", "a b"):
            asked = ensureDeferred(self.authorizing.find(name))
            said = self.failureResultOf(asked, ChannelUnknown).value
            self.assertNotIn("x" * 10, said.sentence)

    def test_asked_once(self) -> None:
        """The same credential asking the same at the same moment is one question to the app;
        another credential, operation or param that is outside the topic is another."""
        credentials = Credentials(header_name="authorization")
        definition = self.define(verified=True, partition_by=("room",), credentials=credentials)
        waiting: list[Deferred[Grant]] = []

        def authorize(request: AuthRequest) -> Deferred[Grant]:
            waiting.append(Deferred())
            return waiting[-1]

        self.patch(self.app, "authorize", authorize)
        ann, bob = presented("Bearer ann"), presented("Bearer bob")
        first = [self.ask(definition, ann) for _ in range(3)]
        self.assertEqual(len(waiting), 1)
        self.ask(definition, bob)
        asked = self.authorizing.bind_query(definition, {"room": ["a"], "count": ["6"]})
        ensureDeferred(self.authorizing.authorize(asked, "connect", ann))
        asked = self.authorizing.bind_query(definition, {"room": ["a"], "count": ["5"]})
        ensureDeferred(self.authorizing.authorize(asked, "history", ann))
        self.assertEqual(len(waiting), 4)
        waiting[0].callback(Grant(subject="ann"))
        for one in first:
            self.assertEqual(self.successResultOf(one).grant.subject, "ann")

    def test_header_and_cookie(self) -> None:
        """The app gets what the definition names, the header split, and all params."""
        definition = self.define(
            verified=True,
            partition_by=("room",),
            credentials=Credentials(header_name="authorization", cookie_name="session"),
        )
        admitted = self.successResultOf(self.ask(definition, presented("Bearer x", "y")))
        self.assertEqual(
            self.app.asked,
            [
                AuthRequest(
                    "c", "connect", {"room": "a", "count": 5}, HeaderCredential("x", "Bearer"), "y"
                )
            ],
        )
        self.assertEqual(admitted.asked.topic.key, "c?room=a")
        self.assertEqual(admitted.grant.subject, "ann")

    def test_grant_out_of_bounds(self) -> None:
        """A lifecycle that cannot be is kept to its bounds, and named in the log: once until
        the definitions are read again."""
        lines: list[str] = []

        def note(event: Any) -> None:
            if "out of bounds" in (event.get("log_format") or ""):
                lines.append(f"{event['channel']} {event['name']} {event['said']} {event['holds']}")

        globalLogPublisher.addObserver(note)
        self.addCleanup(globalLogPublisher.removeObserver, note)
        definition = self.define(verified=True)
        self.app.answer = Grant(keepalive_interval_ms=5, replay_window_ms=-1, inactivity_ttl_ms=9)
        for _ in range(3):
            admitted = self.successResultOf(self.ask(definition, NO_CREDENTIALS))
        self.assertEqual(admitted.lifecycle.keepalive_interval_ms, 1000)
        self.assertEqual(admitted.lifecycle.inactivity_ttl_ms, 9)
        expected = ["c replay_window_ms -1 0", "c keepalive_interval_ms 5 1000"]
        self.assertEqual(lines, expected)
        self.authorizing.forget_lifecycles()
        self.successResultOf(self.ask(definition, NO_CREDENTIALS))
        self.assertEqual(len(lines), 4)

    def test_missing(self) -> None:
        """Declared and not there: the app is not asked, and the place is named."""
        definition = self.define(
            verified=True, credentials=Credentials(header_name="x-key", cookie_name="session")
        )
        refusal = self.failureResultOf(self.ask(definition, NO_CREDENTIALS), CredentialsMissing)
        self.assertIn("'x-key'", refusal.value.sentence)
        self.assertIn("'session'", refusal.value.sentence)
        self.assertEqual(self.app.asked, [])

    def test_one_of_two_is_enough(self) -> None:
        """Where header and cookie are named, either lets the app decide."""
        definition = self.define(
            verified=True,
            credentials=Credentials(header_name="authorization", cookie_name="session"),
        )
        self.successResultOf(self.ask(definition, presented(cookie="y")))
        self.assertIsNone(self.app.asked[0].header)

    def test_query_token(self) -> None:
        """access_token stands for the header only where the definition allows it."""
        token = RequestCredentials(lambda name: None, lambda name: None, "Bearer t")
        refused = self.define(verified=True, credentials=Credentials(header_name="authorization"))
        self.failureResultOf(self.ask(refused, token), CredentialsMissing)
        allowed = ChannelDefinition(
            name="d",
            params=ROOM,
            verified=True,
            credentials=Credentials(header_name="authorization", query_token=True),
        )
        self.successResultOf(self.ask(allowed, token))
        self.assertEqual(self.app.asked[0].header, HeaderCredential("t", "Bearer"))

    def test_public(self) -> None:
        """Nobody is asked about a public channel."""
        self.successResultOf(self.ask(self.define(), NO_CREDENTIALS))
        self.assertEqual(self.app.asked, [])

    def test_refused(self) -> None:
        """The app's no is the answer."""
        self.app.answer = VerifyRejected()
        self.failureResultOf(self.ask(self.define(verified=True), NO_CREDENTIALS), VerifyRejected)

    def test_lifecycle_of_a_grant(self) -> None:
        """The newest grant's lifecycle holds for publishes, until definitions are read again."""
        definition = self.define(verified=True)
        self.app.answer = Grant(replay_window_ms=5_000)
        self.successResultOf(self.ask(definition, NO_CREDENTIALS))
        self.assertEqual(self.authorizing.lifecycle(definition).replay_window_ms, 5_000)
        self.authorizing.forget_lifecycles()
        self.assertEqual(self.authorizing.lifecycle(definition), definition.lifecycle)

    def test_params(self) -> None:
        """Bad params are refused before anybody is asked."""
        definition = self.define(verified=True)
        self.assertRaises(ParamsInvalid, self.authorizing.bind_query, definition, {"count": ["x"]})

    def test_unknown(self) -> None:
        """An unknown channel makes the registry be read again, where there is one to read."""
        self.failureResultOf(ensureDeferred(self.authorizing.find("c")), ChannelUnknown)

        async def refresh() -> bool:
            self.define()
            return True

        self.authorizing.refresh = refresh
        found = self.successResultOf(ensureDeferred(self.authorizing.find("c")))
        self.assertEqual(found.name, "c")
