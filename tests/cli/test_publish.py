"""`tako publish`: what somebody at the terminal is told."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from twisted.internet.task import Clock

from takotwist.app.published import Published
from takotwist.app.publisher import Publisher
from takotwist.cli import publish as module
from takotwist.core.topic import Draft
from tests.cli.command import CommandTestCase


class PublishTests(CommandTestCase):
    def test_server_away(self) -> None:
        """While the server is away it says that it is trying, and in the end how to go on."""
        clock = Clock()
        timed = partial(Publisher, clock=clock.seconds, sleep=clock.advance, jitter=lambda: 0.5)
        self.patch(module, "Publisher", timed)
        said = self.run_command(
            "publish", "news", "msg", "1", "--server", "unix:none.sock", "--patience", "2.5"
        )
        self.assertEqual(said.exit_code, 1)
        first, last = said.stderr.splitlines()
        self.assertEqual(
            first,
            "The takotwist server at unix:none.sock has not answered yet:"
            " No such file or directory. Trying for 2.5 s.",
        )
        self.assertRegex(
            last,
            r"^Error: the takotwist server at unix:none.sock cannot be reached: No such file or"
            r" directory \(to try again: --idempotency-key [0-9a-f]{32}\)$",
        )

    def test_what_cannot_be_sent(self) -> None:
        """An address, a key or a type that cannot be used is one sentence, without the key."""
        for arguments, sentence in (
            (("--server", "chat.example"), "Publisher: url: must be http://host"),
            (("--server", "http://a", "--key", "secret key"), "Publisher: key: must be printable"),
            (("--server", "http://a", "--key", "secret\n", "--idempotency-key", "\n"), "idempot"),
        ):
            said = self.run_command("publish", "news", "msg", "1", *arguments)
            self.assertEqual(said.exit_code, 1)
            self.assertTrue(said.stderr.startswith(f"Error: {sentence}"), said.stderr)
            self.assertNotIn("secret", said.stderr)

    def test_message_key(self) -> None:
        """The key of the message, and that it ends it, are published beside the data."""
        sent: list[Draft] = []

        def publish_now(
            publisher: Publisher, channel: str, params: object, drafts: Sequence[Draft], key: object
        ) -> list[Published]:
            sent.extend(drafts)
            return [Published("5", channel, drafts[0].type, 1)]

        self.patch(Publisher, "publish_now", publish_now)
        for more in ((), ("--message-key", "lamp"), ("--message-key", "lamp", "--delete")):
            said = self.run_command("publish", "board", "set", "1", "--server", "http://a", *more)
            self.assertEqual((said.exit_code, said.stderr), (0, ""))
        said_of_each = [(one.type, one.key, one.delete) for one in sent]
        keyed = ("set", "lamp", False), ("set", "lamp", True)
        self.assertEqual(said_of_each, [("set", None, False), *keyed])
