"""What follows from what was said, and secrets that stand in files."""

from __future__ import annotations

from datetime import UTC, datetime

from takotwist.tls.development_ca import ensure_development_certificate
from tests.server.config.folder import FolderTestCase


class DeriveTests(FolderTestCase):
    """Values that nobody said."""

    def test_state_folder_of_systemd(self) -> None:
        """Under systemd the state is in the unit's folder, unless the operator says another."""
        environ = {"STATE_DIRECTORY": "/var/lib/tako:/var/lib/other"}
        config = self.load(environ=environ)
        self.assertEqual(str(config.replay.path), "/var/lib/tako/replay.sqlite")
        self.assertEqual(config.private.listen, ("unix:/var/lib/tako/private.sock:mode=600",))
        self.assertEqual(str(self.load('state_dir = "/srv"', environ=environ).state_dir), "/srv")

    def test_tls_flag_alone(self) -> None:
        """``--tls`` switches HTTPS on, where it is not on already."""
        self.assertEqual(self.load(flags={"tls": True}).tls.listen, ("tcp:8443",))
        config = self.load('[tls]\nlisten = ["tcp:443"]', flags={"tls": True})
        self.assertEqual(config.tls.listen, ("tcp:443",))

    def test_certificate_switches_https_on(self) -> None:
        """A certificate is there to be served; an explicit empty list still wins."""
        self.write("c.pem", "")
        toml = '[tls]\ncertificate = "c.pem"\nkey = "c.pem"'
        self.assertEqual(self.load(toml).tls.listen, ("tcp:8443",))
        config = self.load(toml + "\nlisten = []")
        self.assertEqual(config.tls.listen, ())
        self.assertIn("tls.certificate has no effect", " ".join(config.warnings))

    def test_development_ca(self) -> None:
        """One a user, where the user has a home; one that a project has already stays."""
        home = {"HOME": str(self.folder / "home")}
        own = self.folder / "state" / "tls"
        # A home that is not there, or somebody else's, is none.
        self.assertEqual(self.load(environ=home).tls.development_ca, own)
        (self.folder / "home").mkdir()
        shared = self.folder / "home" / ".local" / "share" / "takotwist"
        self.assertEqual(self.load(environ=home).tls.development_ca, shared)
        said = {**home, "XDG_DATA_HOME": "/data"}
        self.assertEqual(str(self.load(environ=said).tls.development_ca), "/data/takotwist")
        service = {**home, "STATE_DIRECTORY": "/var/lib/tako"}
        self.assertEqual(str(self.load(environ=service).tls.development_ca), "/var/lib/tako/tls")
        ensure_development_certificate(own, (), datetime.now(UTC))
        self.assertEqual(self.load(environ=home).tls.development_ca, own)
        named = self.load('[tls]\ndevelopment_ca = "ca"', environ=home)
        self.assertEqual(named.tls.development_ca, self.folder / "ca")

    def test_private_socket_is_for_its_owner(self) -> None:
        """A private socket without a mode gets 600; a mode that was said stays."""
        config = self.load('[private]\nlisten = ["unix:/a.sock", "unix:/b.sock:mode=660"]')
        self.assertEqual(config.private.listen, ("unix:/a.sock:mode=600", "unix:/b.sock:mode=660"))

    def test_default_socket_that_would_not_fit(self) -> None:
        """In a very deep folder the private listener is off, and that is said."""
        config = self.load(f'state_dir = "/{"x" * 100}"')
        self.assertEqual(config.private.listen, ())
        self.assertIn("the private listener is off", " ".join(config.warnings))

    def test_channels_folder(self) -> None:
        """A folder called channels is found; without one there are no channels in Python."""
        self.assertIsNone(self.load().app.channels)
        (self.folder / "channels").mkdir()
        self.assertEqual(self.load().app.channels, self.folder / "channels")

    def test_token_file(self) -> None:
        """The token is the file's one line that is no comment."""
        self.write("t", "# of the app\nswordfish\n")
        config = self.load('[app]\nurl = "http://127.0.0.1"\ntoken_file = "t"')
        self.assertEqual(config.app.token, "swordfish")

    def test_token_file_that_cannot_be_used(self) -> None:
        """Missing, empty, or with two lines: named with its file, never with its content."""
        toml = '[app]\ntoken_file = "t"'
        [problem] = self.problems(toml)
        self.assertIn(
            "tako.toml:2: app.token_file: names t, which cannot be read: No such", problem
        )
        self.write("t", "")
        self.assertIn("must hold one token", self.problems(toml)[0])
        self.write("t", "one\ntwo\n")
        self.assertIn("must hold one token", self.problems(toml)[0])
        self.write("t", "fish and chips\n")
        [problem] = self.problems(toml)
        self.assertIn("whose line 1 must be visible ASCII", problem)
        self.assertNotIn("chips", problem)

    def test_token_and_token_file(self) -> None:
        """Both in one source contradict each other; the environment wins over the file."""
        self.write("t", "of-the-file\n")
        toml = '[app]\ntoken_file = "t"'
        self.assertIn("is said beside app.token", self.problems(toml + '\ntoken = "a"')[0])
        config = self.load(toml, environ={"TAKO_APP_TOKEN": "of-the-environment"})
        self.assertEqual(config.app.token, "of-the-environment")
        config = self.load('[app]\ntoken = "a"', environ={"TAKO_APP_TOKEN_FILE": "t"})
        self.assertEqual(config.app.token, "of-the-file")

    def test_keys_file(self) -> None:
        """Keys of the file come after those of the list, each once."""
        self.write("k", "# billing\ntako_pk_bbbbbbbbbbbbbbbb\n\ntako_pk_aaaaaaaaaaaaaaaa\n")
        config = self.load('[publish]\nkeys = ["tako_pk_aaaaaaaaaaaaaaaa"]\nkeys_file = "k"')
        self.assertEqual(
            config.publish.keys, ("tako_pk_aaaaaaaaaaaaaaaa", "tako_pk_bbbbbbbbbbbbbbbb")
        )

    def test_secret_file_that_everybody_reads(self) -> None:
        """A file of secrets that is open to all works, with a warning."""
        self.write("k", "tako_pk_bbbbbbbbbbbbbbbb\n", mode=0o644)
        config = self.load('[publish]\nkeys_file = "k"')
        self.assertIn("everybody on this machine may read it", " ".join(config.warnings))
