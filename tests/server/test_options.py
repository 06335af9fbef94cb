"""The flags of `twistd tako`."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from takotwist.errors import ConfigError
from takotwist.server.config.load import FLAGS
from takotwist.server.options import Options


class OptionsTests(SynchronousTestCase):
    """What is typed becomes the configuration."""

    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        here = os.getcwd()
        os.chdir(folder)
        self.addCleanup(os.chdir, here)
        for variable in [name for name in os.environ if name.startswith("TAKO_")]:
            self.patch(os, "environ", {k: v for k, v in os.environ.items() if k != variable})
        self.folder = Path.cwd()

    def _parsed(self, *arguments: str) -> Options:
        options = Options()
        options.parseOptions(list(arguments))
        return options

    def test_without_flags(self) -> None:
        """Nothing typed is nothing said."""
        config = self._parsed().config()
        self.assertEqual(config.sources, {})

    def test_every_flag(self) -> None:
        """Each flag arrives at its key, lists as often as they were typed."""
        for name in ("c.pem", "k.pem", "my.toml"):
            Path(name).touch()
        Path("my.toml").write_text('[app]\ntoken = "t"')
        Path("defs").mkdir()
        config = self._parsed(
            "--config=my.toml",
            "--listen=tcp:1",
            "--listen",
            "tcp:2",
            "--tls",
            "--tls-listen=tcp:3",
            "--certificate=c.pem",
            "--key=k.pem",
            "--state-dir=s",
            "--app-url=http://127.0.0.1:1",
            "--channels=defs",
            "--log-format=json",
        ).config()
        self.assertEqual(config.file, self.folder / "my.toml")
        self.assertEqual(config.http.listen, ("tcp:1", "tcp:2"))
        self.assertEqual(config.tls.listen, ("tcp:3",))
        self.assertEqual(config.tls.certificate, self.folder / "c.pem")
        self.assertEqual(config.state_dir, self.folder / "s")
        self.assertEqual(config.app.url, "http://127.0.0.1:1")
        self.assertEqual(config.app.channels, self.folder / "defs")
        self.assertEqual(config.log.format, "json")

    def test_flags_are_those_that_the_configuration_knows(self) -> None:
        """No flag can be added in one place and forgotten in the other."""
        self.assertEqual(set(Options()), set(FLAGS))

    def test_unknown_flag(self) -> None:
        """A misspelt flag is an error of usage."""
        self.assertRaises(UsageError, self._parsed, "--lisen=tcp:1")

    def test_read_once(self) -> None:
        """The log and the service get the same configuration, whatever happens to the file."""
        options = self._parsed()
        self.assertIs(options.config(), options.config())

    def test_wrong_configuration(self) -> None:
        """What is wrong comes as a `ConfigError`, when the configuration is asked for."""
        options = self._parsed("--listen=nonsense")
        self.assertRaises(ConfigError, options.config)

    def test_help_says_what_happens_without_flags(self) -> None:
        """The help text explains the defaults and the choice of the reactor."""
        text = str(Options())
        for words in ("./tako.toml", "./channels/", "--reactor=asyncio", "--log-format="):
            self.assertIn(words, text)

    def test_twistd_logs_through_ours(self) -> None:
        """twistd's own choice of a logger stands; else ours takes its place."""
        for said, ours in (({}, True), ({"syslog": True}, False), ({"logger": "mine"}, False)):
            options = Options()
            options.parent = dict(said)
            options.parseOptions([])
            taken = "takotwist" in str(options.parent.get("logger"))
            self.assertEqual(taken, ours, said)

    def test_plugin(self) -> None:
        """twistd finds the command `tako`."""
        self.assertIn("tako", [plugin.tapname for plugin in getPlugins(IServiceMaker)])
