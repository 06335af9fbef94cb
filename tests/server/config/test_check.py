"""Values that are right alone and wrong together."""

from __future__ import annotations

import os
import sys
from pwd import getpwuid

from tests.server.config.folder import FolderTestCase

#: Modules that need psycopg.
POSTGRES = "takotwist.adapters.postgres"


class CheckTests(FolderTestCase):
    """What cannot work, and what is probably not meant."""

    def test_shared_replay_log(self) -> None:
        """An address that libpq cannot read is told, without a word of what was said; and what is
        missing to reach a PostgreSQL."""
        good = "postgresql://me:geheim@10.0.0.1,10.0.0.2/app?sslmode=verify-full"
        config = self.load(f'[replay]\nurl = "{good}"\nschema = "tako_2"')
        self.assertEqual(config.replay.url, good)
        self.assertNotIn("geheim", repr(config))
        for bad in ("postgresql://me:geheim@h/x?sslmodus=1", "postgresql://me:geh%eim@h/x"):
            [problem] = self.problems(f'[replay]\nurl = "{bad}"')
            self.assertIn("replay.url: is no address of PostgreSQL", problem)
            self.assertNotIn("geh", problem)
        [problem] = self.problems('[replay]\nurl = "mysql://me:geheim@h/x"')
        self.assertIn("replay.url: must be an address such as postgresql://", problem)
        self.assertNotIn("geheim", problem)
        [problem] = self.problems('[replay]\nschema = "Tako"')
        self.assertIn("replay.schema: must be a name", problem)
        held = {name: one for name, one in sys.modules.items() if name.startswith(POSTGRES)}
        sys.modules |= dict.fromkeys(held)
        try:
            [problem] = self.problems(f'[replay]\nurl = "{good}"')
        finally:
            # These alone: what the check has imported meanwhile stays imported.
            sys.modules.update(held)
        self.assertIn("replay.url: needs psycopg: pip install 'takotwist[postgres]'", problem)

    def test_files_that_are_not_there(self) -> None:
        """Files are looked for before anything starts."""
        problems = self.problems(
            '[tls]\ncertificate = "c.pem"\nkey = "k.pem"\n[app]\nca_file = "ca.pem"'
        )
        self.assertEqual(
            problems,
            [
                "tako.toml:2: tls.certificate: names c.pem, which is no file",
                "tako.toml:3: tls.key: names k.pem, which is no file",
                "tako.toml:5: app.ca_file: names ca.pem, which is no file",
            ],
        )

    def test_folders_and_files_exchanged(self) -> None:
        """A state folder that is a file, or a database that is a folder, is told."""
        self.write("file", "")
        (self.folder / "folder").mkdir()
        problems = self.problems('state_dir = "file"\n[replay]\npath = "folder"')
        self.assertEqual(
            problems,
            [
                "tako.toml:1: state_dir: names file, which is no folder",
                "tako.toml:3: replay.path: names folder, which is a folder and no file",
            ],
        )

    def test_folders_that_cannot_be_entered(self) -> None:
        """What may not be looked at, or entered, is one sentence about its key."""
        long = "x" * 300
        problems = self.problems(f'state_dir = "{long}"\n[app]\nca_file = "{long}"')
        self.assertEqual(
            problems,
            [
                f"tako.toml:3: app.ca_file: names {long}, which cannot be looked at: File name too"
                " long",
                f"tako.toml:1: state_dir: names {long}, which cannot be looked at: File name too"
                " long",
            ],
        )
        (self.folder / "locked").mkdir()
        # For root, as whom tests may run, there is no such folder.
        self.patch(os, "access", lambda path, mode: False)
        [problem] = self.problems('state_dir = "locked"')
        user = getpwuid(os.geteuid()).pw_name
        self.assertEqual(
            problem, f"tako.toml:1: state_dir: names locked, which the user {user} may not enter"
        )

    def test_sizes_that_contradict(self) -> None:
        """A send queue smaller than a message could never send it."""
        [problem] = self.problems("[limits]\noutbox_bytes = 4096\nmax_message_bytes = 8192")
        self.assertIn(
            "limits.outbox_bytes: must be at least limits.max_message_bytes, which is 8192", problem
        )

    def test_warnings(self) -> None:
        """What works and is unwise is said, and does not stop the server."""
        config = self.load(
            '[app]\nurl = "http://app.example.com"\ntoken = "t"\n[http]\nallowed_origins = ["*"]\n'
            'trusted_proxies = ["0.0.0.0/0"]\n[publish]\nkeys = ["short"]\n'
        )
        said = "\n".join(config.warnings)
        for words in (
            "cross the network open",
            "every page may connect",
            "a client may say it is any address",
            "publish key 1 has only 5 characters",
        ):
            self.assertIn(words, said)
        self.assertNotIn("short", said)

    def test_app_without_a_token(self) -> None:
        """An app elsewhere and the server need a secret, or anybody could answer for the app."""
        [problem] = self.problems('[app]\nurl = "http://127.0.0.1:3000"')
        self.assertIn("app.token: is missing", problem)

    def test_no_channels(self) -> None:
        """A server without any channel says how one is made."""
        self.assertIn("no channel is defined", " ".join(self.load().warnings))
        (self.folder / "channels").mkdir()
        self.assertEqual([one for one in self.load().warnings if "no channel" in one], [])

    def test_tokens_without_keys(self) -> None:
        """Channels by tokens need keys; keys without channels are told to be of no use."""
        chat = "[channels.chat]\n"
        [problem] = self.problems(f'[tokens]\nchannels = ["chat"]\n{chat}')
        self.assertIn("tokens.channels: needs keys", problem)
        [problem] = self.problems('[tokens]\nfunctions = ["*"]')
        self.assertIn("tokens.functions: needs keys", problem)
        secret = f'secrets = ["{"x" * 32}"]'
        config = self.load(f"[tokens]\n{secret}")
        self.assertIn("tokens has keys and no effect", " ".join(config.warnings))
        config = self.load(f'[tokens]\nchannels = ["chat"]\n{secret}\n{chat}')
        self.assertNotIn("no effect", " ".join(config.warnings))
        self.assertTrue(config.channels[0].definition.verified)

    def test_public_channel_by_tokens(self) -> None:
        """A channel that is public and by tokens is one of both by mistake; * leaves it public."""
        secret = f'secrets = ["{"x" * 32}"]'
        public = "[channels.chat]\npublic = true"
        [problem] = self.problems(f'[tokens]\nchannels = ["chat"]\n{secret}\n{public}')
        self.assertIn("names chat, which says public = true", problem)
        self.load(f'[tokens]\nchannels = ["*"]\n{secret}\n{public}')

    def test_open_keys(self) -> None:
        """Keys that somebody on the way could exchange are not taken."""
        for url, good in (
            ("http://id.example/keys", False),
            ("unix:/run/id.sock", False),
            ("https://id.example/keys", True),
            ("http://127.0.0.1:9/keys", True),
            ("http://localhost/keys", True),
        ):
            toml = f'[tokens]\nchannels = ["*"]\njwks_url = "{url}"'
            if good:
                self.load(toml)
            else:
                [problem] = self.problems(toml)
                self.assertIn("tokens.jwks_url: must be https", problem)
