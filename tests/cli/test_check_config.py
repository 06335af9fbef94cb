"""`tako check-config`: what would run, or all that is wrong."""

from __future__ import annotations

import importlib
import sys
from datetime import UTC, datetime, timedelta

from takotwist.tls.development_ca import ensure_development_certificate
from tests.cli.command import CommandTestCase


class CheckConfigTests(CommandTestCase):
    """What an operator sees before a start."""

    def test_defaults(self) -> None:
        """Without a file the defaults are shown, and what they lack."""
        done = self.run_command("check-config")
        self.assertEqual(done.exit_code, 0, done.output)
        self.assertIn("There is no tako.toml here; the defaults are fine.", done.stdout)
        self.assertIn("http      tcp:8080", done.stdout)
        self.assertIn("https     off", done.stdout)
        self.assertIn("no channel is defined", done.stdout)

    def test_what_was_said(self) -> None:
        """Each value that is no default is shown with its source; secrets are not."""
        self.write(
            "tako.toml",
            '[app]\nurl = "http://127.0.0.1:3000"\ntoken = "hunter2-hunter2"\n'
            "[limits]\ndrain_seconds = 3\n"
            "[channels.news]\npublic = true\n"
            '[channels.chat]\nwebsocket = true\nparams = { roomId = "string" }\n'
            '[publish]\nkeys = ["swordfish-swordfish"]\nrate = 5',
        )
        done = self.run_command("check-config", TAKO_LOG_LEVEL="warn")
        self.assertEqual(done.exit_code, 0, done.output)
        for words in (
            "tako.toml is fine.",
            "http://127.0.0.1:3000 as app, with a token",
            "news(): public, SSE",
            "chat(roomId): the app is asked, SSE and WebSocket",
            "1 key, 5 messages a second each",
            f"limits.drain_seconds = 3   ({self.folder}/tako.toml)",
            'log.level = "warn"   (environment TAKO_LOG_LEVEL)',
            "app.token = (secret)",
        ):
            self.assertIn(words, done.stdout)
        self.assertNotIn("hunter2", done.output)
        self.assertNotIn("swordfish", done.output)

    def test_definitions(self) -> None:
        """The channels of the app's folder are shown as the server would have them."""
        (self.folder / "channels").mkdir()
        self.write(
            "channels/news.py",
            "from takotwist import define_channel\n"
            "news = define_channel('news', params={'type': 'object', 'properties': {'a': {}}})\n"
            "@news.verify\ndef verify(request): return True\n",
        )
        done = self.run_command("check-config")
        self.assertEqual(done.exit_code, 0, done.output)
        self.assertIn("news(a): the app is asked, SSE", done.stdout)

    def test_wrong_definitions(self) -> None:
        """What would stop the server in the app's own files is found before a start."""
        (self.folder / "channels").mkdir()
        self.write("channels/news.py", "import no_such_module")
        done = self.run_command("check-config")
        self.assertEqual(done.exit_code, 1)
        self.assertIn("No module named 'no_such_module'", done.stderr)
        self.write("channels/news.py", "from takotwist import define_channel\ndefine_channel('a')")
        self.write("tako.toml", "[app]\npages = 'no_such_module:site'")
        done = self.run_command("check-config")
        self.assertEqual(done.exit_code, 1)
        self.assertIn("app.pages: there is no module 'no_such_module' in ", done.stderr)
        self.write("tako.toml", "[app]\npages = 'wrong_pages:site'")
        for text, said in (
            ("import os\n\nfoo()", "wrong_pages.py:3: app.pages: NameError: name 'foo'"),
            ("x = 1\ndef f(:", "wrong_pages.py:2: app.pages: SyntaxError: "),
            ("side = 1", "wrong_pages.py: app.pages: has nothing that is called 'site'"),
            ("def site():\n    1 / 0", "wrong_pages.py:2: app.pages: ZeroDivisionError: "),
            ("site = 1", "wrong_pages:site: app.pages: is int, which is neither"),
        ):
            self.write("wrong_pages.py", text)
            sys.modules.pop("wrong_pages", None)
            importlib.invalidate_caches()
            sys.dont_write_bytecode = True
            self.addCleanup(setattr, sys, "dont_write_bytecode", False)
            done = self.run_command("check-config")
            self.assertEqual((done.exit_code, done.stderr.count("\n")), (1, 1), done.stderr)
            self.assertIn(said, done.stderr)

    def test_wrong(self) -> None:
        """Every problem is a line on standard error, and the exit is 1."""
        self.write("tako.toml", "[limits]\nmax_conections = 1\n[log]\nlevel = 5")
        done = self.run_command("check-config")
        self.assertEqual(done.exit_code, 1)
        self.assertEqual(done.stdout, "")
        self.assertEqual(len(done.stderr.splitlines()), 2)
        self.assertIn("did you mean 'max_connections'?", done.stderr)

    def test_file_that_is_named(self) -> None:
        """Another file is checked by its name."""
        self.write("other.toml", "[http]\nlisten = []")
        done = self.run_command("check-config", "-c", "other.toml")
        self.assertEqual(done.exit_code, 1)
        self.assertIn("other.toml:2: http.listen", done.stderr)

    def test_certificate(self) -> None:
        """The certificate is read, with its names and its end; a wrong key is a problem."""
        now = datetime.now(UTC)
        files = ensure_development_certificate(self.folder, ["app.test"], now - timedelta(days=80))
        self.write(
            "tako.toml",
            f'[tls]\ncertificate = "{files.certificate.name}"\nkey = "{files.key.name}"',
        )
        done = self.run_command("check-config")
        self.assertIn("tcp:8443, localhost, 127.0.0.1, ::1, app.test until", done.stdout)
        self.assertIn("The certificate expires at", done.stdout)
        files.key.write_text("")
        done = self.run_command("check-config")
        self.assertEqual(done.exit_code, 1)
        self.assertIn("holds no private key", done.stderr)

    def test_nothing_is_made(self) -> None:
        """Checking leaves the folder as it was."""
        self.run_command("check-config", TAKO_TLS_LISTEN="tcp:8443")
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_keys_of_tokens(self) -> None:
        """A key that cannot check tokens is found before a start; no secret is shown."""
        self.write("tako.toml", '[tokens]\nchannels = ["*"]\nsecrets = ["too-short-a-secret"]\n')
        done = self.run_command("check-config")
        self.assertEqual(done.exit_code, 1)
        self.assertIn("tokens.secrets: has a secret of 18 bytes; HS256 needs 32", done.stderr)
        self.assertNotIn("too-short", done.output)
