"""Values that are right alone and wrong together."""

from __future__ import annotations

import os
import sys
from pwd import getpwuid
from unittest.mock import patch

from tests.server.config.folder import FolderTestCase


class CheckTests(FolderTestCase):
    """What cannot work, and what is probably not meant."""

    def test_private_listener_on_every_network(self) -> None:
        """A private port without an interface would let the internet publish."""
        [problem] = self.problems('[private]\nlisten = ["tcp:9000"]')
        self.assertIn("private.listen: has tcp:9000, which every network would reach", problem)
        self.assertIn("add :interface=127.0.0.1", problem)

    def test_private_listener_on_another_network(self) -> None:
        """Said explicitly it is taken, with a warning; loopback needs none."""
        config = self.load('[private]\nlisten = ["tcp:9000:interface=0.0.0.0"]')
        self.assertIn("may publish without a key", " ".join(config.warnings))
        config = self.load('[private]\nlisten = ["tcp:9000:interface=127.0.0.1"]')
        self.assertNotIn("without a key", " ".join(config.warnings))

    def test_nothing_to_serve(self) -> None:
        """Without any public listener there is no server."""
        [problem] = self.problems("[http]\nlisten = []")
        self.assertIn("nothing would be served", problem)

    def test_one_port_twice(self) -> None:
        """The same endpoint cannot be listened on twice; port 0 is another each time."""
        [problem] = self.problems('[http]\nlisten = ["tcp:80"]\n[tls]\nlisten = ["tcp:80"]')
        self.assertIn("tls.listen: has tcp:80 and http.listen has it too", problem)
        self.load('[http]\nlisten = ["tcp:0", "tcp:0"]')

    def test_certificate_without_its_key(self) -> None:
        """A certificate and a key go together."""
        self.write("c.pem", "")
        [problem] = self.problems('[tls]\ncertificate = "c.pem"')
        self.assertIn("tls.certificate: is said and tls.key is not", problem)
        [problem] = self.problems("", flags={"key": "c.pem"})
        self.assertIn("--key: tls.key: is said and tls.certificate is not", problem)

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
        without = {name: None for name in sys.modules if name.startswith("takotwist.adapters.post")}
        with patch.dict(sys.modules, without):
            [problem] = self.problems(f'[replay]\nurl = "{good}"')
        self.assertIn("replay.url: needs psycopg: pip install 'takotwist[postgres]'", problem)

    def test_redirect_to_nothing(self) -> None:
        """A redirect needs TLS here, or the hosts of a proxy that has it."""
        [problem] = self.problems("[http]\nredirect_to_tls = true")
        self.assertIn("http.redirect_to_tls: needs tls.listen", problem)
        self.load('[http]\nredirect_to_tls = true\n[tls]\nlisten = ["tcp:8443"]')
        self.load('[http]\nredirect_to_tls = true\nallowed_hosts = ["a.example"]')

    def test_strict_transport_security(self) -> None:
        """It is not sent with the development certificate, and has a form."""
        text = '[tls]\nlisten = ["tcp:8443"]\nstrict_transport_security = '
        config = self.load(text + '"max-age=60; includeSubDomains"')
        self.assertIn("is not sent with the development certificate", " ".join(config.warnings))
        for bad in ("60", "max-age=-1", "max-age=1; x", "max-age=1\\r\\nX: y"):
            [problem] = self.problems(f'{text}"{bad}"')
            self.assertIn("tls.strict_transport_security: must be such as", problem)

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

    def test_socket_path_that_is_too_long(self) -> None:
        """A path of more than 107 bytes is refused where the operator wrote it."""
        [problem] = self.problems(f'[http]\nlisten = ["unix:/{"x" * 120}"]')
        self.assertIn("a socket path of more than 107 bytes", problem)

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

    def test_domains(self) -> None:
        """A certificate that is obtained needs a listener and a safe authority, and no other."""
        names = 'domains = ["Chat.example.com"]'
        config = self.load(f"[tls]\n{names}")
        self.assertEqual(config.tls.domains, ("chat.example.com",))
        self.assertEqual(config.tls.listen, ("tcp:443",))
        self.assertEqual(config.tls.acme_folder, self.folder / "state" / "acme")
        self.assertFalse(config.tls.is_development)
        for more, words in (
            ("listen = []", "needs tls.listen"),
            ('acme_directory = "http://ca.example/dir"', "must be https"),
            ('certificate = "c.pem"\nkey = "k.pem"', "is said beside tls.certificate"),
            ('acme_challenge = "http-01"\n[http]\nlisten = []', "answered by http.listen"),
        ):
            self.write("c.pem", "")
            self.write("k.pem", "")
            problems = self.problems(f"[tls]\n{names}\n{more}")
            self.assertIn(words, " ".join(problems))
        for name in ("*.example.com", "localhost", "192.0.2.1", "a b.c", "-a.example", ""):
            [problem] = self.problems(f'[tls]\ndomains = ["{name}"]')
            self.assertIn("must be a domain name", problem)
