"""The log is readable, cannot be forged, and holds no credential."""

from __future__ import annotations

import json
from io import StringIO

import attrs
from twisted.logger import LogEvent, Logger, LogLevel, LogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from takotwist.errors import ConfigError, VerifyRejected
from takotwist.server.config import App, Config, Log, Publish
from takotwist.server.config.pusher import Pusher, PusherAppKeys
from takotwist.server.config.tokens import Tokens
from takotwist.server.config.webhooks import EndpointKeys, Webhooks
from takotwist.server.log import GONE, LONGEST_MESSAGE, ServerLog, escaped


def _config(format: str = "text", level: str = "info") -> Config:
    return Config(
        log=Log(format=format, level=level),
        app=App(token="hunter2-hunter2"),
        publish=Publish(keys=("swordfish-swordfish",)),
    )


class LogTestCase(SynchronousTestCase):
    """A log of its own, apart from the process's."""

    def begin(self, format: str = "text", level: str = "info", *, terminal: bool = False) -> None:
        self.out = StringIO()
        self.out.isatty = lambda: terminal  # type: ignore[method-assign]
        self.server_log = ServerLog(_config(format, level))
        publisher = LogPublisher(self.server_log.observer(self.out))
        self.log = Logger(namespace="takotwist.test", observer=publisher)
        self.twisted = Logger(namespace="twisted.web.server.Site", observer=publisher)

    def lines(self) -> list[str]:
        """What was written."""
        return self.out.getvalue().splitlines()


class TextTests(LogTestCase):
    """For people."""

    def test_line(self) -> None:
        """Time in UTC, level, who says it, and what."""
        self.begin()
        self.log.info("serving {address}", address="https://localhost:8443")
        [line] = self.lines()
        self.assertRegex(
            line,
            r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z info  \[takotwist\.test\]"
            r" serving https://localhost:8443$",
        )

    def test_level(self) -> None:
        """What is below the level is not written; Twisted's own chatter is a level quieter."""
        self.begin()
        self.log.debug("no")
        self.twisted.info("Starting factory")
        self.assertEqual(self.lines(), [])
        self.twisted.warn("yes")
        self.assertEqual(len(self.lines()), 1)

    def test_debug_shows_all(self) -> None:
        """Who asks for debug gets Twisted's lines too."""
        self.begin(level="debug")
        self.log.debug("a")
        self.twisted.debug("b")
        self.assertEqual(len(self.lines()), 2)

    def test_new_level_in_a_running_server(self) -> None:
        """SIGHUP changes the level and the secrets that are known."""
        self.begin()
        self.server_log.apply(attrs.evolve(_config(level="error"), publish=Publish(keys=())))
        self.log.warn("no")
        self.log.error("swordfish-swordfish")
        [line] = self.lines()
        self.assertIn("swordfish", line)

    def test_forged_line(self) -> None:
        """A peer that puts a line's end or a terminal's commands into a name forges nothing."""
        self.begin()
        self.log.info("from {peer}", peer="a\n2026-01-01 error [x] forged\r\x1b[31m\u2028\u202e")
        [line] = self.lines()
        self.assertTrue(
            line.endswith(r"from a\n2026-01-01 error [x] forged\r\x1b[31m\u2028\u202e"), line
        )

    def test_secrets_of_the_configuration(self) -> None:
        """All that the configuration has, by themselves in any text."""
        app = PusherAppKeys(name="a", id="1", key="k", secret="secret-of-pusher")
        endpoint = EndpointKeys(name="b", url="https://b", secrets=("whsec_one", "whsec_two"))
        self.begin()
        self.server_log.apply(
            attrs.evolve(
                _config(),
                tokens=Tokens(secrets=("secret-of-tokens",)),
                pusher=Pusher(apps=(app,)),
                webhooks=Webhooks(endpoints=(endpoint,)),
            )
        )
        self.log.error("bad: secret-of-pusher, whsec_one, whsec_two, secret-of-tokens!")
        [line] = self.lines()
        gone = ", ".join([GONE] * 4)
        self.assertTrue(line.endswith(f"bad: {gone}!"), line)

    def test_secrets(self) -> None:
        """Tokens and keys are not written, in messages, URLs and tracebacks."""
        self.begin()
        self.log.info("{url} {key}", url="/chat?access_token=abcdef", key="swordfish-swordfish")
        try:
            raise ValueError("Authorization: Bearer abcdef and hunter2-hunter2")
        except ValueError:
            self.log.failure("it broke")
        text = self.out.getvalue()
        for secret in ("abcdef", "swordfish", "hunter2"):
            self.assertNotIn(secret, text)

    def test_fault_has_a_traceback(self) -> None:
        """A fault of ours is written with where it happened, indented below its line."""
        self.begin()
        try:
            raise ZeroDivisionError("x\nforged")
        except ZeroDivisionError:
            self.log.failure("it broke")
        first, *rest = self.lines()
        self.assertIn("critical [takotwist.test] it broke", first)
        self.assertIn("test_log.py", "".join(rest))
        self.assertIn("ZeroDivisionError: x", "".join(rest))
        self.assertEqual([line for line in rest if not line.startswith("    ")], [])

    def test_traceback_of_the_app(self) -> None:
        """One line in a file, for what collects lines; on a terminal it has its own lines."""
        trace = 'Traceback (most recent call last):\n  File "chat.py", line 3\nValueError: \x1b[31m'
        self.begin()
        self.log.error("{what} failed\n{trace}", what="chat: the handler of 'msg'", trace=trace)
        [line] = self.lines()
        self.assertIn(r"failed\nTraceback (most recent call last):\n  File", line)
        self.begin(terminal=True)
        self.log.error("{what} failed\n{trace}", what="chat: the handler of 'msg'", trace=trace)
        self.log.info("from {peer}", peer="a\nforged")
        first, *rest, last = self.lines()
        self.assertRegex(first, r"Z error \[takotwist\.test\] chat: the handler of 'msg' failed$")
        self.assertEqual(
            rest,
            [
                "    Traceback (most recent call last):",
                '      File "chat.py", line 3',
                r"    ValueError: \x1b[31m",
            ],
        )
        self.assertTrue(last.endswith(r"from a\nforged"))

    def test_refusal_has_none(self) -> None:
        """What was decided on purpose is a sentence with its code."""
        self.begin()
        self.log.failure("refused", Failure(VerifyRejected("Not you.")), LogLevel.info)
        self.log.failure("reload", Failure(ConfigError("is wrong", key="a.b")), LogLevel.error)
        self.assertEqual(
            [line.partition("] ")[2] for line in self.lines()],
            ["refused: Not you. (verify-rejected)", "reload: a.b: is wrong"],
        )

    def test_long_message(self) -> None:
        """No peer fills the disk with one line."""
        self.begin()
        self.log.info("{text}", text="x" * 10 * LONGEST_MESSAGE)
        self.assertLess(len(self.lines()[0]), LONGEST_MESSAGE + 100)

    def test_event_that_cannot_be_formatted(self) -> None:
        """A mistake in a format is a line, not an exception."""
        self.begin()
        self.log.info("{missing}")
        self.assertEqual(len(self.lines()), 1)

    def test_escaping_leaves_words_alone(self) -> None:
        """Letters of every script stay as they are."""
        self.assertEqual(escaped("été 東京 \\ ok"), "été 東京 \\ ok")


class JsonTests(LogTestCase):
    """For machines."""

    def test_object(self) -> None:
        """Each line is an object with the event's own fields beside the usual ones."""
        self.begin("json")
        self.log.warn("slow {topic}", topic="chat?a=b", count=3, part=object())
        entry = json.loads(self.lines()[0])
        entry.pop("time")
        self.assertEqual(
            entry,
            {
                "level": "warn",
                "logger": "takotwist.test",
                "message": "slow chat?a=b",
                "topic": "chat?a=b",
                "count": 3,
            },
        )

    def test_secrets(self) -> None:
        """A field that is named like a credential is taken out, as is one that holds one."""
        self.begin("json")
        self.log.info("x", token="abcdef", url="/?access_token=abcdef", note="hunter2-hunter2")
        text = self.out.getvalue()
        self.assertNotIn("abcdef", text)
        self.assertNotIn("hunter2", text)

    def test_fault(self) -> None:
        """The exception's name and the traceback are fields; still one line."""
        self.begin("json")
        try:
            raise ZeroDivisionError("x")
        except ZeroDivisionError:
            self.log.failure("it broke")
        [line] = self.lines()
        entry = json.loads(line)
        self.assertEqual(entry["exception"], "ZeroDivisionError")
        self.assertIn("test_log.py", entry["traceback"])

    def test_field_cannot_replace_the_message(self) -> None:
        """An event's own field does not take the place of a usual one."""
        self.begin("json")
        self.log.info("real", logger="fake", time="fake", message="fake")
        entry = json.loads(self.lines()[0])
        self.assertEqual((entry["logger"], entry["message"]), ("takotwist.test", "real"))
        self.assertNotEqual(entry["time"], "fake")


class RateTests(LogTestCase):
    """Lines that strangers can cause."""

    def setUp(self) -> None:
        self.now = 1000.0
        self.begin()
        publisher = LogPublisher(self.server_log.observer(self.out))

        def at_this_time(event: LogEvent) -> None:
            publisher({**event, "log_time": self.now})

        self.log = Logger(namespace="takotwist.test", observer=at_this_time)
        self.app = Logger(namespace="channels.room", observer=at_this_time)

    def ended(self, count: int, address: str = "203.0.113.7") -> None:
        for _ in range(count):
            self.log.info("{address} ended", address=address)

    def test_one_address(self) -> None:
        """One address has its share, another its own; what was left out is counted and said."""
        self.ended(150)
        self.assertEqual(len(self.lines()), 100)
        self.ended(1, "203.0.113.8")
        self.ended(1, "2001:db8::1")
        self.now += 9
        self.ended(100)
        self.assertEqual(len(self.lines()), 192)
        self.now += 2
        self.log.info("another")
        self.assertIn("60 lines like this one not written: {address} ended", self.lines()[-2])
        self.now += 100
        self.log.info("another")
        self.assertEqual(len(self.lines()), 195)

    def test_many_addresses(self) -> None:
        """All addresses of one kind have a bound too; an IPv6 client has all of its network."""
        for number in range(20):
            self.ended(100, f"203.0.113.{number}")
        self.assertEqual(len(self.lines()), 1000)
        self.now += 20
        self.out.truncate(0)
        for number in range(200):
            self.ended(1, f"2001:db8:0:7::{number:x}")
        self.assertEqual(len(self.lines()), 101)

    def test_failures(self) -> None:
        """Tracebacks are fewer."""
        for _ in range(100):
            self.log.failure("it failed", Failure(ValueError("x")))
        self.assertEqual(sum("it failed" in line for line in self.lines()), 20)

    def test_apps_own(self) -> None:
        """What the app says is not counted, whatever else is."""
        for _ in range(2000):
            self.app.info("hello")
        self.assertEqual(len(self.lines()), 2000)

    def test_long_fields(self) -> None:
        """A field of a JSON line is cut as a message is."""
        self.begin("json")
        self.log.info("x", subject="s" * 100_000)
        self.assertLess(len(self.lines()[0]), LONGEST_MESSAGE + 200)
