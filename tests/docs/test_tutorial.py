"""The tutorial, done as it is written."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist.client.events import Message
from takotwist.client.machine.policy import Policy
from takotwist.client.sync import Subscription, subscribe
from takotwist.errors import VerifyRejected
from tests.docs.page import DOCS, one, project
from tests.docs.running import Running, eventually
from tests.sockets.server_process import free_port


def command(kind: str) -> str:
    """A command of the tutorial."""
    return one("tutorial.md", kind).text


class TestTutorial(SynchronousTestCase):
    timeout = 120

    def setUp(self) -> None:
        # `tako dev` serves HTTPS too.
        self.running = Running(TAKO_TLS_LISTEN=f"tcp:{free_port()}:interface=127.0.0.1")
        self.addCleanup(self.running.close)
        self.running.run(command("init"))
        self.running.enter("auction")
        for name, text in project(DOCS / "tutorial.md").items():
            self.running.write(name, text)

    def watch(self, name: str) -> Subscription:
        """The lot of the page, as somebody who logged in sees it."""
        login = (
            f"curl -s -D - -H 'content-type: application/json' -d '{{\"name\":\"{name}\"}}'"
            " http://localhost:8080/login"
        )
        answer = self.running.run(login)
        cookie = answer.partition("name=")[2].partition(";")[0]
        watching = subscribe(
            f"http://127.0.0.1:{self.running.port}",
            "auction",
            params={"lotId": 7},
            cursor="0",
            credentials={"cookie": f"name={cookie}"},
            policy=Policy(base_ms=50, cap_ms=500),
        )
        self.addCleanup(watching.close)
        return watching

    def next_data(self, watching: Subscription) -> Any:
        event = watching.next(timeout=60)
        assert isinstance(event, Message)
        return event.type, event.data

    def test_first_message(self) -> None:
        """A message that is published in one terminal is seen in another, and again later."""
        running = self.running
        running.serve(command("serve"))
        listening = running.start(command("listen"), "heard")
        eventually(lambda: running.said("heard").startswith("event: tako.open\nid: "), "listening")
        stored = json.loads(running.run(command("publish")))
        self.assertEqual((stored["type"], stored["data"]), ("headline", "It works"))
        eventually(lambda: f"id: {stored['id']}\n" in running.said("heard"), "the message")
        running.stop(listening)
        running.start(command("resume"), "again")
        eventually(lambda: '"data":"It works"' in running.said("again"), "the message again")

    def test_bids(self) -> None:
        """A bid goes to everybody, under the name of who was logged in; a low one to nobody."""
        self.running.serve(command("serve"))
        ada, bob = self.watch("ada"), self.watch("bob")
        ada.publish("bid", {"amount": 100, "bidder": "somebody else"}, timeout=60)
        for watching in (ada, bob):
            self.assertEqual(self.next_data(watching), ("bid", {"amount": 100, "bidder": "ada"}))
        with self.assertRaises(VerifyRejected) as caught:
            bob.publish("bid", {"amount": 100}, timeout=60)
        self.assertIn("100", str(caught.exception))
        printed = self.running.run(command("close"))
        self.assertRegex(printed, r"stored as \d+")
        self.assertEqual(self.next_data(bob), ("sold", {"amount": 120, "bidder": "ada"}))

    def test_restart(self) -> None:
        """What is said while the server is down arrives after it, once."""
        server = self.running.serve(command("serve"))
        ada, bob = self.watch("ada"), self.watch("bob")
        ada.publish("bid", {"amount": 1}, timeout=60)
        self.next_data(ada), self.next_data(bob)
        self.running.stop(server)
        eventually(lambda: ada.state.value != "open", "the cut is noticed")
        server = self.running.serve(command("serve"))
        ada.publish("bid", {"amount": 2}, timeout=60)
        self.assertEqual(self.next_data(bob), ("bid", {"amount": 2, "bidder": "ada"}))
        with self.assertRaises(TimeoutError):
            bob.next(timeout=0.3)

    def test_own_tests(self) -> None:
        """The tests that came with the project still pass, and so does the check."""
        self.assertIn("auction(lotId)", self.running.run("tako check-config"))
        self.running.run("python -m unittest")

    def test_refused(self) -> None:
        """Without a cookie, or with a lot that is none, the answers are those of the page."""
        self.running.serve(command("serve"))
        refused = json.loads(self.running.run(command("refused")))
        shown = [block for block in _json_blocks() if "credentials-missing" in block]
        self.assertEqual(refused, json.loads(shown[0]))
        nonsense = json.loads(self.running.run(command("nonsense")))
        self.assertEqual(nonsense["code"], "params-invalid")
        self.assertIn("lotId", nonsense["error"])

    def test_page(self) -> None:
        """The page, its script and the client are served."""
        self.running.serve(command("serve"))
        self.assertIn("auction.js", self.running.run("curl -sf http://localhost:8080/lot.html"))
        self.assertIn("lotId", self.running.run("curl -sf http://localhost:8080/auction.js"))
        self.assertIn("export", self.running.run("curl -sf http://localhost:8080/_tako/client.js"))


def _json_blocks() -> list[str]:
    from tests.docs.page import blocks

    return [block.text for block in blocks("json", "tutorial.md")]
