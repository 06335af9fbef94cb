"""A channel of the file is the same value as one in Python."""

from __future__ import annotations

from takotwist.core.channel import Credentials, Defined, NewestRules
from takotwist.errors import BodyInvalid, ParamsInvalid
from tests.server.config.folder import FolderTestCase

APP = '[app]\nurl = "http://127.0.0.1:3000"\ntoken = "t"\n'


class ChannelTests(FolderTestCase):
    """What `[channels.NAME]` makes."""

    def _one(self, toml: str) -> Defined:
        [defined] = self.load(toml).channels
        return defined

    def test_public(self) -> None:
        """A public channel needs no app, no credentials and no code."""
        defined = self._one("[channels.news]\npublic = true")
        channel = defined.definition
        self.assertEqual(
            (channel.name, channel.verified, channel.credentials), ("news", False, None)
        )
        self.assertFalse(channel.bidirectional)
        self.assertTrue(defined.local)
        self.assertTrue(defined.place.endswith("tako.toml [channels.news]"))

    def test_app_is_asked(self) -> None:
        """A channel that is not public is authorized by the app, with the usual header."""
        defined = self._one(APP + "[channels.chat]")
        self.assertTrue(defined.definition.verified)
        self.assertEqual(defined.definition.credentials, Credentials(header_name="authorization"))
        self.assertFalse(defined.local)

    def test_nobody_to_ask(self) -> None:
        """Without an app, a channel must say that it is public."""
        [problem] = self.problems("[channels.chat]")
        self.assertEqual(
            problem,
            "tako.toml:1: channels.chat: must say public = true, or app.url must say which app to"
            " ask, or tokens.channels must name it",
        )

    def test_auth(self) -> None:
        """Header, cookie and token in the query, or nothing at all."""
        auth = APP + "[channels.chat]\nauth = "
        self.assertEqual(
            self._one(auth + '{ header = "X-Session", cookie = "sid" }').definition.credentials,
            Credentials(header_name="x-session", cookie_name="sid"),
        )
        self.assertEqual(
            self._one(auth + "{ access_token = true }").definition.credentials,
            Credentials(header_name="authorization", query_token=True),
        )
        self.assertIsNone(self._one(auth + "false").definition.credentials)
        self.assertIn("must be false, or a table", self.problems(auth + '"basic"')[0])
        self.assertIn("has header, which must be", self.problems(auth + '{ header = "a b" }')[0])
        self.assertIn("must be false, or a table", self.problems(auth + "{ heder = 1 }")[0])

    def test_params_in_short(self) -> None:
        """A type's name stands for its schema; a question mark makes a param optional."""
        channel = self._one(
            "[channels.chat]\npublic = true\n"
            'params = { roomId = "string", count = "integer?", kind = { enum = ["a"] } }'
        ).definition
        self.assertEqual(
            channel.params.bind_query({"roomId": ["x"], "count": ["010"], "kind": ["a"]}),
            {"roomId": "x", "count": 10, "kind": "a"},
        )
        self.assertRaises(ParamsInvalid, channel.params.bind_query, {"kind": ["a"]})
        self.assertRaises(ParamsInvalid, channel.params.bind_query, {"roomId": ["x"]})

    def test_params_as_a_schema(self) -> None:
        """A JSON Schema is taken as it is."""
        channel = self._one(
            "[channels.chat]\npublic = true\n[channels.chat.params]\n"
            'properties.roomId = { type = "string", minLength = 1 }\nrequired = ["roomId"]'
        ).definition
        self.assertRaises(ParamsInvalid, channel.params.bind_query, {"roomId": [""]})

    def test_a_param_called_type(self) -> None:
        """A param may have a name that is a word of JSON Schema."""
        channel = self._one('[channels.a]\npublic = true\nparams = { type = "string" }').definition
        self.assertEqual(channel.params.names, ("type",))

    def test_messages(self) -> None:
        """Message types have schemas, or take any data."""
        channel = self._one(
            "[channels.a]\npublic = true\n[channels.a.messages]\nany = true\n"
            'msg = { type = "object", required = ["text"] }'
        ).definition
        channel.messages["any"].check(b"[1]")
        self.assertRaises(BodyInvalid, channel.messages["msg"].check, b"{}")

    def test_websocket(self) -> None:
        """Frames go to the app, or are published as sent; with neither there is nobody."""
        channel = self._one(APP + "[channels.a]\nwebsocket = true").definition
        self.assertIsNone(channel.handlers)
        toml = "[channels.a]\npublic = true\nwebsocket = true\n"
        self.assertIn("nobody who takes its frames", self.problems(toml)[0])
        channel = self._one(toml + "forward_unhandled = true").definition
        self.assertTrue(channel.bidirectional)
        self.assertEqual(channel.handlers, frozenset())

    def test_lifecycle(self) -> None:
        """A channel's own times win over [lifecycle], which wins over the defaults."""
        lifecycle = self._one(
            "[lifecycle]\nreplay_window_seconds = 60\nkeepalive_interval_seconds = 10\n"
            "[channels.a]\npublic = true\nreplay_window_seconds = 0.5\nreplay_max_messages = 5"
        ).definition.lifecycle
        self.assertEqual(lifecycle.replay_window_ms, 500)
        self.assertEqual(lifecycle.keepalive_interval_ms, 10_000)
        self.assertEqual(lifecycle.replay_max_messages, 5)
        self.assertEqual(lifecycle.max_connection_lifetime_ms, 7_200_000)

    def test_partition(self) -> None:
        """The params that make the topic are named, and must be params."""
        toml = '[channels.a]\npublic = true\nparams = { x = "string", y = "string" }\n'
        channel = self._one(toml + 'partition_by = ["x"]').definition
        self.assertEqual(channel.partition_by, ("x",))
        self.assertIn("'z', which is no param", self.problems(toml + 'partition_by = ["z"]')[0])

    def test_newest(self) -> None:
        """The newest of each key is kept: in short, by a field, or by a table."""
        toml = "[channels.a]\npublic = true\nnewest = "
        for said, rules in [
            ("false", None),
            ("true", NewestRules()),
            ('"symbol"', NewestRules(key="symbol")),
            ('{ key = "id", max_keys = 5 }', NewestRules(key="id", max_keys=5)),
            ("{ conflate = true }", NewestRules(conflate=True)),
        ]:
            self.assertEqual(self._one(toml + said).definition.newest, rules)
        self.assertIn("must be true, false, the name", self.problems(toml + "5")[0])
        self.assertIn("must be true, false, the name", self.problems(toml + "{ kee = 1 }")[0])
        self.assertIn("has max_keys, which must", self.problems(toml + "{ max_keys = 0 }")[0])

    def test_every_problem(self) -> None:
        """Problems of several channels are told together, each with its key."""
        problems = self.problems(
            "[channels.a]\npublik = true\nwebsocket = 1\n"
            '[channels."b c"]\npublic = true\n'
            '[channels.d]\npublic = true\nparams = { x = "text" }\n'
            '[channels.e]\npublic = true\nmessages = { m = "x" }\n'
            '[channels.f]\npublic = true\nauth = { cookie = "sid" }\n'
            '[channels.g]\npublic = true\nparams = { last_event_id = "string" }\n'
        )
        self.assertEqual(len(problems), 7)
        for problem, words in zip(
            problems,
            (
                "channels.a.publik: is unknown (did you mean 'public'?)",
                "channels.a.websocket: must be true or false, not 1",
                "channels.b c: channel name 'b c' must be",
                "channels.d: param 'x' must be boolean, integer, number, string",
                "channels.e: message 'm' must be a JSON Schema table, or true",
                "channels.f: is public, so it cannot have auth",
                "channels.g: param 'last_event_id' is reserved",
            ),
            strict=True,
        ):
            self.assertIn(words, problem)

    def test_value_that_no_schema_has(self) -> None:
        """A date, which TOML knows and JSON does not, is told and not traced back."""
        [problem] = self.problems(
            "[channels.a]\npublic = true\nparams = { x = { const = 2026-01-01 } }"
        )
        self.assertIn("channels.a", problem)
