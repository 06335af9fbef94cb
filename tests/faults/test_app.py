"""An app elsewhere that is slow, hangs, answers nonsense, restarts or knows too much."""

from __future__ import annotations

import threading
import time
from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.authorize_http import UNKNOWN_INTERVAL
from takotwist.adapters.concurrency_limit import share
from tests.faults.app_that_fails import TOKEN, FailingApp
from tests.faults.at_once import at_once, request
from tests.faults.seen import say
from tests.faults.watching import cpu_seconds, publish
from tests.sockets.readers import SseReader
from tests.sockets.server_process import FAST, ServerProcess, wait_until

#: Calls to the app at once, and seconds that one may take.
PLACES, DEADLINE = 8, 1.0

CONFIG = f"""
{FAST}
[app]
url = "http://127.0.0.1:%d"
token = "{TOKEN}"
max_concurrency = {PLACES}
queue = 40
deadline_seconds = %s
"""

MEMBER = {"Authorization": "member"}


class Reader(SseReader):
    """Reads with a token."""

    def _send(self, data: bytes) -> None:
        super()._send(data.replace(b"\r\n\r\n", b"\r\nAuthorization: Bearer member\r\n\r\n", 1))


class AppCase(SynchronousTestCase):
    """A server that asks such an app."""

    #: Seconds that one call may take.
    deadline = DEADLINE

    def setUp(self) -> None:
        self.app = FailingApp()
        self.addCleanup(self.app.close)
        self.server = ServerProcess(CONFIG % (self.app.port, self.deadline), None)
        self.addCleanup(self.server.close)
        self.server.start()

    def ask(self, path: str = "/_tako/channels/chat/history?roomId=lobby") -> tuple[int, str]:
        """Status and code of one request that the app must be asked about."""
        [(answer, _)] = self.ask_all([path]).items()
        return answer

    def ask_all(self, paths: list[str]) -> Counter[tuple[int, str]]:
        """Those of many at once."""
        said: Counter[tuple[int, str]] = Counter()
        for answer in at_once(self.server, [request(path, "member") for path in paths]):
            self.assertNotIn("secrets", answer.text)
            if answer.status_code == 503:
                self.assertIn("Retry-After", answer.headers)
            refused = answer.status_code >= 400
            said[answer.status_code, answer.json()["code"] if refused else ""] += 1
        return said

    def crowd(self, count: int) -> Counter[tuple[int, str]]:
        """The answers of so many requests at once, each about a room of its own: what asks
        the same at the same moment would be one question to the app."""
        return self.ask_all(
            [f"/_tako/channels/chat/history?roomId=r{number}" for number in range(count)]
        )


class AppTests(AppCase):
    """What clients get while the app is not well."""

    def test_ways(self) -> None:
        """Whatever the app does, each client has a 503 that says to come again within the
        deadlines, never an entry or a refusal; who is in goes on; and all is well right after."""
        reader = Reader(self.server.port, "chat", {"roomId": "lobby"}).begin()
        self.addCleanup(reader.close)
        for number, way in enumerate(("hanging", "garbage", "500", "token", "long", "closing")):
            self.app.way, self.app.most = way, 0
            began = time.monotonic()
            answers = self.crowd(16)
            took = time.monotonic() - began
            publish(self.server, {"n": number})
            reader.read_until(number + 1)
            say(
                f"the app: {way}; 16 clients at once",
                f"{dict(answers)} in {took:.1f} s, at most {self.app.most} calls at once",
            )
            self.assertEqual(answers, {(503, "auth-unavailable"): 16})
            # The app notices late that one it was asked by has gone, and already has the next.
            self.assertLessEqual(self.app.most, 2 * PLACES)
            # One after the other they would take sixteen deadlines.
            self.assertLess(took, 15 * DEADLINE)
            self.app.way = "well"
            self.assertEqual(self.ask()[0], 200)
        self.server.assert_clean(TOKEN, "Bearer member")

    def test_too_many(self) -> None:
        """Past the queue of an app that hangs they are told that it is too much."""
        self.app.way, self.app.most = "hanging", 0
        answers = self.crowd(PLACES + 80)
        say(f"a hanging app, {PLACES + 80} clients", f"{dict(answers)}")
        self.assertGreater(answers[503, "overloaded"], 0)
        self.assertEqual({status for status, _ in answers}, {503})
        self.assertLessEqual(self.app.most, 2 * PLACES)


class PatientTests(AppCase):
    """Nobody is refused, however busy the machine is."""

    deadline = 30.0

    def test_slow(self) -> None:
        """A slow app is asked by as many at once as one channel may; the others wait and are
        served."""
        self.app.way, self.app.most = "slow", 0
        self.app.gather(share(PLACES))
        answers = self.crowd(PLACES + 20)
        self.assertEqual(answers, {(200, ""): PLACES + 20})
        self.assertEqual(self.app.most, share(PLACES))
        say(f"a slow app, {PLACES + 20} clients", f"{dict(answers)}, {self.app.most} calls at once")

    def test_restart(self) -> None:
        """An app that restarts is a pause for those who come, and no error."""
        self.app.stop()
        again = threading.Timer(0.4, self.app.start)
        again.start()
        answers = self.crowd(PLACES)
        again.join()
        say("the app away for 0.4 s", f"{dict(answers)}")
        self.assertEqual(answers, {(200, ""): PLACES})


class RegistryTests(AppCase):
    """Registries of a size.

    The app makes ten thousand entries in Python for each call, and the machine may be busy.
    """

    deadline = 30.0

    def test_ten_thousand_definitions(self) -> None:
        """A registry of ten thousand channels is taken, in bounded memory, while others are served;
        made-up names do not make the app work."""
        before = self.server.memory
        self.app.channels = ["chat", *(f"channel-{number}" for number in range(9_999))]
        used = cpu_seconds(self.server.pid)
        self.server.reload()
        wait_until(
            lambda: self.ask("/_tako/channels/channel-9998/history?roomId=a")[0] == 200,
            "the last channel",
        )
        used, grown = cpu_seconds(self.server.pid) - used, self.server.memory - before
        calls, began = self.app.calls, time.monotonic()
        for number in range(50):
            status, code = self.ask(f"/_tako/channels/unknown-{number}/history?roomId=a")
            self.assertEqual((status, code), (404, "channel-unknown"))
        calls, took = self.app.calls - calls, time.monotonic() - began
        say(
            "a registry of 10,000 channels, and 50 unknown names",
            f"{used:.1f} s of work, {grown >> 20} MiB more; {calls} calls in {took:.1f} s",
        )
        self.assertLess(used, 20)
        self.assertLess(grown, 300 << 20)
        self.assertLess(calls, took / UNKNOWN_INTERVAL + 2)
        self.server.assert_clean()

    def test_too_many_definitions(self) -> None:
        """A registry of more is not used, which the log says; what was known stays in force."""
        self.app.channels = [f"channel-{number}" for number in range(10_001)]
        self.server.reload()
        wait_until(lambda: "the registry has 10001 channels" in self.server.log, "a word of it")
        self.assertEqual(self.ask()[0], 200)
        say("a registry of 10,001 channels", "not used, and the one before stays")
