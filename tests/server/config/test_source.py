"""The file, the environment and the flags are read under dotted keys."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from takotwist.server.config.problems import Collected
from takotwist.server.config.source import read_environment, read_file, read_flags

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
