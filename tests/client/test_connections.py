"""The two kinds of connection: which topic a call is for, and what is asked of the caller when."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist.client.connections import (
    LoneConnection,
    OwnConnection,
    SharedConnection,
    connection_for,
)
from takotwist.client.machine.machine import Connect
from takotwist.client.machine.policy import Policy
from takotwist.client.options import SubscriptionOptions
from takotwist.client.target import Target


def options(channel: str = "chat", **said: Any) -> SubscriptionOptions:
    """Options of one topic."""
    return SubscriptionOptions(
        channel, None, **{"cursor": None, "credentials": None, "on_gone": "reset", **said}
    )


def half() -> float:
    """In the place of chance."""
    return 0.5


class Line:
    """See `Line`; keeps what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.told: list[str] = []

    def tell(self, fact: Callable[..., None], *args: object) -> None:
        """See `Line`."""
        self.told.append(fact.__name__)
        fact(*args)

    async def sse(self, url: str, headers: Mapping[str, str]) -> None:
        """See `Line`."""
        self.asked.append(("sse", url, dict(headers)))

    async def websocket(
        self, url: str, headers: Mapping[str, str], opened: Callable[[str | None], None]
    ) -> None:
        """See `Line`."""
        self.asked.append(("websocket", url, dict(headers)))
        opened(None)


class Driver:
    """The part of `Driver` that a connection uses."""

    target = Target.of("https://example.com")

    def __init__(self) -> None:
        self.subscriptions: dict[int, Any] = {}
        self.given_up: list[tuple[int, BaseException]] = []

    def now(self) -> float:
        """See `Driver`."""
        return 1.0

    async def value_of(self, credentials: Any) -> Any:
        """See `Driver`."""
        return credentials() if callable(credentials) else credentials

    def give_up(self, topic: int, error: Exception) -> None:
        """See `Driver`."""
        self.given_up.append((topic, error))


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that waits for nothing."""
    try:
        work.send(None)
    except StopIteration:
        return
    raise AssertionError("it waits")


class OwnConnectionTests(SynchronousTestCase):
    """One topic, whose number is 0."""

    def setUp(self) -> None:
        self.driver: Any = Driver()
        self.line: Any = Line()

    def begun(self, **said: Any) -> tuple[OwnConnection, Connect]:
        """A connection that its caller wants to begin, and what that wants."""
        own = OwnConnection.of(options(**said), Policy(), half)
        self.assertEqual(own.begin(0.0), 0)
        [connect] = [one for one in own.machine.intents() if isinstance(one, Connect)]
        return own, connect

    def test_asked_before_each(self) -> None:
        """Credentials of a callable are asked for when a connection is made, and not before."""
        asked: list[str] = []

        def credentials() -> str:
            asked.append("asked")
            return f"t{len(asked)}"

        own, connect = self.begun(credentials=credentials, transport="sse")
        self.assertEqual(asked, [])
        for _ in range(2):
            run(own.carry(self.driver, connect, self.line))
        tokens = [headers["authorization"] for _, _, headers in self.line.asked]
        self.assertEqual(tokens, ["t1", "t2"])

    def test_credentials_that_fail(self) -> None:
        """Nothing is connected to, and it is tried again.  What the function said may have a secret
        in it, and is told to nobody."""

        def credentials() -> str:
            raise OSError("the vault is shut")

        own, connect = self.begun(credentials=credentials)
        run(own.carry(self.driver, connect, self.line))
        self.assertEqual((self.line.asked, self.line.told), ([], ["failed"]))
        self.assertEqual(own.trouble(0), "The credentials could not be had.")

    def test_token_in_a_frame(self) -> None:
        """Where it goes in the first frame it is in no header, and there before all else."""
        own, connect = self.begun(credentials="t", auth_frame=True)
        run(own.carry(self.driver, connect, self.line))
        [(carrier, _, headers)] = self.line.asked
        self.assertEqual((carrier, headers), ("websocket", {}))
        self.assertIn("tako.auth", getattr(own.machine.intents()[0], "text", ""))

    def test_left(self) -> None:
        """With its topic the connection ends."""
        own, _ = self.begun()
        own.left(0)
        own.machine.started(2.0)
        self.assertFalse([one for one in own.machine.intents() if isinstance(one, Connect)])


class SharedConnectionTests(SynchronousTestCase):
    """Many topics by number."""

    def setUp(self) -> None:
        self.driver: Any = Driver()
        self.line: Any = Line()
        self.shared = SharedConnection.of({"cookie": "a=b"}, Policy(), half)

    def test_numbers(self) -> None:
        """Each topic has its own, and one topic is there once."""
        first = self.shared.begin(options("chat"), 0.0)
        second = self.shared.begin(options("news"), 0.0)
        self.assertNotEqual(first, second)
        self.assertRaises(ValueError, self.shared.begin, options("chat"), 0.0)

    def test_headers(self) -> None:
        """Those of the upgrade go with it, and one that cannot be sent is refused at once."""
        run(self.shared.carry(self.driver, Connect("websocket", None, True), self.line))
        [(carrier, _, headers)] = self.line.asked
        self.assertEqual((carrier, headers), ("websocket", {"cookie": "a=b"}))
        self.assertRaises(ValueError, SharedConnection.of, {"a": "b\nc"}, Policy(), half)
        self.assertNotIn("a=b", repr(self.shared))

    def test_wrong_credentials_of_one(self) -> None:
        """Where one topic's caller is at fault, that one is given up, and the others go on."""
        topic = self.shared.begin(options(), 0.0)
        state = options(credentials=lambda: {"two": "headers"}).subscription_state(
            Policy(), lambda: None
        )
        self.driver.subscriptions[topic] = state
        run(self.shared.ask_credentials(self.driver, topic))
        [(given_up, error)] = self.driver.given_up
        self.assertEqual(given_up, topic)
        self.assertIsInstance(error, ValueError)
        run(self.shared.ask_credentials(self.driver, 99))

    def test_kind(self) -> None:
        """Who is there over a WebSocket needs a connection for many, which ends with its one."""
        own, _ = connection_for(options(presence=True, transport="sse"), Policy(), half)
        self.assertIsInstance(own, OwnConnection)
        lone, begin = connection_for(options(presence=True, transport="websocket"), Policy(), half)
        assert isinstance(lone, LoneConnection)
        topic = begin(0.0)
        lone.left(topic)
        self.assertEqual(lone.machine.link.state.name, "CLOSED")
