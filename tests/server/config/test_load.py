"""One configuration comes out of file, environment and flags, or every problem does.

The file, the environment and the flags are read under dotted keys.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from takotwist.errors import ConfigError
from takotwist.server.config import KEYS, load_config, needs_restart
from takotwist.server.config.load import read_environment, read_file, read_flags
from takotwist.server.config.problems import Collected
from takotwist.server.config.reference import toml_value
from tests.server.config.folder import FolderTestCase


class LoadTests(FolderTestCase):
    """Where values come from, and who wins."""

    def test_nothing_said(self) -> None:
        """Without a file the defaults hold, in the folder where it was started."""
        config = self.load()
        self.assertIsNone(config.file)
        self.assertEqual(config.http.listen, ("tcp:8080",))
        self.assertEqual(config.tls.listen, ())
        self.assertEqual(config.state_dir, self.folder / "state")
        self.assertEqual(config.replay.path, self.folder / "state/replay.sqlite")

    def test_precedence(self) -> None:
        """Flags win over the environment, which wins over the file, which wins over defaults."""
        toml = (
            '[app]\nurl = "http://file"\ntoken = "t"\n[log]\nformat = "json"\n'
            "[limits]\ndrain_seconds = 3"
        )
        environ = {"TAKO_APP_URL": "http://environment", "TAKO_LOG_FORMAT": "text"}
        config = self.load(toml, {"app-url": "http://flag"}, environ)
        self.assertEqual(config.app.url, "http://flag")
        self.assertEqual(config.log.format, "text")
        self.assertEqual(config.limits.drain_seconds, 3.0)
        self.assertEqual(config.limits.outbox_bytes, 262_144)
        self.assertEqual(config.sources["app.url"], "--app-url")
        self.assertEqual(config.sources["log.format"], "environment TAKO_LOG_FORMAT")
        self.assertEqual(config.sources["limits.drain_seconds"], f"{self.folder}/tako.toml")

    def test_paths_are_relative_to_whoever_said_them(self) -> None:
        """A path of the file is one beside the file, of a flag one where it was typed."""
        other = self.folder / "etc"
        self.write("etc/my.toml", 'state_dir = "data"\n[replay]\npath = "log.sqlite"')
        config = load_config({"config": "etc/my.toml"}, {}, self.folder)
        self.assertEqual(config.state_dir, other / "data")
        self.assertEqual(config.replay.path, other / "log.sqlite")
        config = load_config({"config": "etc/my.toml", "state-dir": "here"}, {}, self.folder)
        self.assertEqual(config.state_dir, self.folder / "here")

    def test_file_named_in_the_environment(self) -> None:
        """TAKO_CONFIG names the file; a flag names it more strongly."""
        self.write("a.toml", "[limits]\ndrain_seconds = 1")
        self.write("b.toml", "[limits]\ndrain_seconds = 2")
        environ = {"TAKO_CONFIG": "a.toml"}
        self.assertEqual(self.load(environ=environ).limits.drain_seconds, 1)
        config = self.load(environ=environ, flags={"config": "b.toml"})
        self.assertEqual(config.limits.drain_seconds, 2)

    def test_named_file_must_be_there(self) -> None:
        """A file that was asked for and is missing is no reason to run with defaults."""
        self.assertEqual(
            self.problems(flags={"config": "no.toml"}),
            ["--config: names no.toml, which is no file"],
        )

    def test_every_problem_at_once(self) -> None:
        """Each line names the source with its line, the key and what would be allowed."""
        problems = self.problems(
            'stat_dir = "x"\n[limits]\nmax_conections = 5\noutbox_bytes = "big"\n[htp]\na = 1\n'
            '[replay]\ndurability = "maybe"\n[log]\nmax_connections = 1',
            {"listen": ["tcp:80", "tcp:99999"]},
            {"TAKO_APP_QUEUE": "many"},
        )
        self.assertEqual(
            problems,
            [
                "tako.toml:1: stat_dir: is unknown (did you mean 'state_dir'?)",
                "tako.toml:5: htp: is unknown (did you mean 'http'?)",
                "tako.toml:3: limits.max_conections: is unknown (did you mean 'max_connections'?)",
                "tako.toml:10: log.max_connections: is unknown"
                " (did you mean 'limits.max_connections'?)",
                "tako.toml:4: limits.outbox_bytes: must be a whole number from 4096 to 1073741824,"
                " not 'big'",
                'tako.toml:8: replay.durability: must be "commit" or "power", not \'maybe\'',
                "environment TAKO_APP_QUEUE: app.queue: must be a whole number from 0 to 1000000,"
                " not 'many'",
                "--listen: http.listen: item 2 is 'tcp:99999', which must have a port from 0 to"
                " 65535, not '99999'",
            ],
        )

    def test_overridden_value_is_still_checked(self) -> None:
        """A wrong value in the file is told although the environment wins over it."""
        problems = self.problems(
            "[limits]\ndrain_seconds = -1", environ={"TAKO_LIMITS_DRAIN_SECONDS": "5"}
        )
        self.assertEqual(len(problems), 1)
        self.assertIn("tako.toml:2: limits.drain_seconds", problems[0])

    def test_problems_are_one_config_error(self) -> None:
        """Who catches `ConfigError` gets the first problem's key and all problems' text."""
        error = self.assertRaises(ConfigError, self.load, "[log]\nformat = 1\nlevel = 2")
        self.assertEqual(error.key, "log.format")
        self.assertEqual(len(str(error).splitlines()), 2)

    def test_no_toml(self) -> None:
        """A file that cannot be parsed is told with the line."""
        [problem] = self.problems("b = 1\na = \n")
        self.assertEqual(problem, "tako.toml:2: is no TOML: Invalid value")
        [problem] = self.problems("b = [1,\n2")
        self.assertEqual(problem, "tako.toml: is no TOML: Unclosed array (at end of document)")

    def test_every_key_by_environment(self) -> None:
        """Each key with a plain default can be said in the environment, and comes out the same."""
        environ = {}
        for key in KEYS.values():
            if key.default is None or isinstance(key.default, Path) or key.setting.derived:
                continue
            text = toml_value(key.default)
            environ[key.environment] = tomllib.loads(f"v = {text}")["v"] if text[0] == '"' else text
        config = self.load(environ=environ)
        for variable, key in ((key.environment, key) for key in KEYS.values()):
            if environ.get(variable):
                self.assertEqual(config.value(key), key.default, key.dotted)
        self.assertGreater(len(environ), 35)

    def test_secrets_are_not_in_the_repr(self) -> None:
        """Printing a configuration shows no token and no key."""
        config = self.load('[app]\ntoken = "hunter2"\n[publish]\nkeys = ["swordfish-swordfish"]')
        self.assertNotIn("hunter2", repr(config))
        self.assertNotIn("swordfish", repr(config))
        self.assertEqual(config.publish.keys, ("swordfish-swordfish",))

    def test_secret_of_the_wrong_form_is_not_shown(self) -> None:
        """Even a key that cannot be used stays out of the error."""
        problems = self.problems(environ={"TAKO_PUBLISH_KEYS": "sword fish"})
        self.assertNotIn("fish", " ".join(problems))
        self.assertIn("publish.keys: item 1 must be visible ASCII", problems[0])

    def test_what_a_restart_changes(self) -> None:
        """A changed listener needs a restart; a changed limit does not."""
        old = self.load("[limits]\nmax_connections = 5")
        new = self.load('[http]\nlisten = ["tcp:1"]\n[limits]\nmax_connections = 6')
        self.assertEqual(list(needs_restart(old, new)), ["http.listen"])

    def test_unreadable_file(self) -> None:
        """A file that is a folder is told, not traced back."""
        os.mkdir(self.folder / "tako.toml")
        [problem] = self.problems()
        self.assertIn("tako.toml: cannot be read", problem)


HERE = Path("/folder")


class EnvironmentTests(SynchronousTestCase):
    """Which variables are ours."""

    def _read(self, environ: dict[str, str]) -> tuple[dict[str, object], list[str]]:
        problems = Collected()
        said = read_environment(environ, HERE, problems)
        return {key: one.value for key, one in said.items()}, [str(p) for p in problems.problems]

    def test_text_becomes_what_toml_would_say(self) -> None:
        """Numbers, flags and lists are read by the kind of their key."""
        said, problems = self._read(
            {
                "TAKO_STATE_DIR": "/x",
                "TAKO_LIMITS_MAX_CONNECTIONS": "5_000",
                "TAKO_HTTP_LISTEN": "tcp:1,tcp:2",
                "TAKO_PUBLISH_RATE": "0.5",
            }
        )
        self.assertEqual(
            said,
            {
                "state_dir": "/x",
                "limits.max_connections": 5000,
                "http.listen": ["tcp:1", "tcp:2"],
                "publish.rate": 0.5,
            },
        )
        self.assertEqual(problems, [])

    def test_misspelt_variable(self) -> None:
        """A variable of a section of ours, or near to one of ours, is a problem."""
        _, problems = self._read({"TAKO_LIMITS_MAX_CONECTIONS": "5", "TAKO_STATEDIR": "x"})
        self.assertEqual(
            problems,
            [
                "environment TAKO_LIMITS_MAX_CONECTIONS: is unknown"
                " (did you mean 'TAKO_LIMITS_MAX_CONNECTIONS'?)",
                "environment TAKO_STATEDIR: is unknown (did you mean 'TAKO_STATE_DIR'?)",
            ],
        )

    def test_what_kubernetes_sets_is_left_alone(self) -> None:
        """A service called tako, or tako-app, puts variables into every container."""
        environ = {
            "TAKO_SERVICE_HOST": "10.0.0.1",
            "TAKO_PORT": "tcp://10.0.0.1:80",
            "TAKO_PORT_80_TCP_ADDR": "10.0.0.1",
            "TAKO_APP_SERVICE_PORT_HTTP": "80",
            "TAKO_HTTP_PORT_80_TCP": "tcp://10.0.0.1:80",
        }
        self.assertEqual(self._read(environ), ({}, []))

    def test_variables_of_the_publisher_are_left_alone(self) -> None:
        """Where another process publishes is none of the server's configuration."""
        environ = {"TAKO_PUBLISH_URL": "http://x", "TAKO_PUBLISH_KEY": "k", "TAKO_CONFIG": "f"}
        self.assertEqual(self._read(environ), ({}, []))

    def test_empty_counts_as_not_set(self) -> None:
        """A variable that a compose file leaves empty sets nothing."""
        self.assertEqual(self._read({"TAKO_APP_URL": ""}), ({}, []))

    def test_channels_are_not_for_the_environment(self) -> None:
        """A channel in a variable is refused, with where it belongs."""
        _, [problem] = self._read({"TAKO_CHANNELS_CHAT_PUBLIC": "true"})
        self.assertIn("in the file or in Python", problem)


class FlagTests(SynchronousTestCase):
    """What was typed."""

    def test_not_given(self) -> None:
        """None, empty and false are what a parser has for flags that were not typed."""
        flags = {"listen": [], "tls": False, "app-url": None, "channels": "", "config": None}
        self.assertEqual(read_flags(flags, HERE, Collected()), {})

    def test_both_spellings(self) -> None:
        """A parser may have underscores where the command line has hyphens."""
        said = read_flags({"app_url": "http://x", "state-dir": "s"}, HERE, Collected())
        self.assertEqual(
            {key: one.source for key, one in said.items()},
            {"app.url": "--app-url", "state_dir": "--state-dir"},
        )

    def test_unknown(self) -> None:
        """A flag that means nothing is a problem."""
        problems = Collected()
        read_flags({"lisen": "x"}, HERE, problems)
        self.assertEqual(str(problems.problems[0]), "--lisen: is unknown (did you mean 'listen'?)")


class FileTests(SynchronousTestCase):
    """What stands in the file."""

    def test_section_that_is_no_table(self) -> None:
        """A section given as a value is told how it is written."""
        file = Path(self.mktemp())
        file.write_text('http = "tcp:80"\n[channels]\na = {public = true}')
        problems = Collected()
        said = read_file(file, problems)
        self.assertEqual([p.reason for p in problems.problems], ["must be a table: [http]"])
        self.assertEqual(said["channels.a"].value, {"public": True})

    def test_not_utf8(self) -> None:
        """A file of bytes is a problem of the file."""
        file = Path(self.mktemp())
        file.write_bytes(b"\xff\xfe")
        problems = Collected()
        read_file(file, problems)
        self.assertIn("is no TOML", problems.problems[0].reason)
