"""The configuration of a server under development."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from takotwist.development.options import DRAIN_SECONDS, PLAIN, SECURE, TOKEN, DevelopmentOptions
from takotwist.errors import ConfigError
from takotwist.server.config import Config


class OptionsTests(SynchronousTestCase):
    """A folder with a file, and what it makes."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        (self.folder / "project").mkdir(parents=True)
        here = os.getcwd()
        os.chdir(self.folder / "project")
        self.addCleanup(os.chdir, here)
        environ = {name: value for name, value in os.environ.items() if not name.startswith("TAKO")}
        self.patch(os, "environ", {**environ, "XDG_DATA_HOME": str(self.folder / "data")})

    def load(self, toml: str = "", **flags: object) -> Config:
        """What is read."""
        Path("tako.toml").write_text(toml)
        options = DevelopmentOptions()
        options.update(flags)
        return options.config()

    def test_defaults(self) -> None:
        """HTTPS and HTTP for this machine alone, and a stop that is quick."""
        config = self.load()
        self.assertEqual((config.http.listen, config.tls.listen), ((PLAIN,), (SECURE,)))
        self.assertEqual(config.limits.drain_seconds, DRAIN_SECONDS)

    def test_said(self) -> None:
        """What is configured, or a flag says, stays as it is."""
        config = self.load(
            '[http]\nlisten = ["tcp:8080"]\n[tls]\nlisten = ["tcp:9"]\n[limits]\ndrain_seconds = 7'
        )
        self.assertEqual((config.http.listen, config.tls.listen), (("tcp:8080",), ("tcp:9",)))
        self.assertEqual(config.limits.drain_seconds, 7)
        config = self.load(**{"tls-listen": ["tcp:11"]})
        self.assertEqual(config.tls.listen, ("tcp:11",))

    def test_domains(self) -> None:
        """The names of the server in production are none for which a certificate is asked here."""
        config = self.load('[tls]\ndomains = ["chat.example.com"]')
        self.assertEqual((config.tls.domains, config.tls.listen), ((), (SECURE,)))
        self.assertTrue(config.tls.is_development)

    def test_token(self) -> None:
        """An app elsewhere gets a token that nobody had to make, and the same when read again."""
        options = DevelopmentOptions()
        Path("tako.toml").write_text('[app]\nurl = "http://127.0.0.1:3000"')
        token = options.config().app.token
        self.assertEqual(len(token or ""), 32)
        self.assertEqual(os.environ[TOKEN], token)
        self.assertEqual(options.config_again().app.token, token)

    def test_token_that_is_said(self) -> None:
        """A token that is configured is not put aside."""
        config = self.load('[app]\nurl = "http://127.0.0.1:3000"\ntoken = "said"')
        self.assertEqual(config.app.token, "said")
        self.assertNotIn(TOKEN, os.environ)

    def test_no_authority_in_the_project(self) -> None:
        """A CA is not made where the project's files are; one that is there is used."""
        named = '[tls]\ndevelopment_ca = "ca"'
        refused = self.assertRaises(ConfigError, self.load, named)
        self.assertEqual(refused.key, "tls.development_ca")
        Path("ca").mkdir()
        Path("ca/development-ca-key.pem").touch()
        self.load(named)
        os.environ.update(XDG_DATA_HOME="", HOME="/proc/nowhere")
        self.assertRaises(ConfigError, self.load)
