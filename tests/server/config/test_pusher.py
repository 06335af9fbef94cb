"""``[pusher]``: apps, their secrets, rules, and what is said of a wrong one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from takotwist.server.config import Config, ConfigProblems, load_config

SECRET = "never-to-be-shown"
APP = f'[pusher.apps.main]\nid = "7"\nkey = "public"\nsecret = "{SECRET}"\n'


class PusherTests(SynchronousTestCase):
    """Files with apps."""

    def load(self, text: str) -> Config:
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "secret").write_text("# of the app\nfrom-a-file\n")
        (folder / "secret").chmod(0o600)
        (folder / "tako.toml").write_text(text)
        return load_config({}, {}, folder)

    def wrong(self, text: str, *words: str) -> None:
        refusal = str(self.assertRaises(ConfigProblems, self.load, text))
        for word in words:
            self.assertIn(word, refusal)
        self.assertNotIn(SECRET, refusal)

    def test_apps(self) -> None:
        more = '\n[[pusher.map]]\npattern = "private-chat-{roomId}"\nchannel = "chat"\n'
        config = self.load(APP + more)
        [app] = config.pusher.apps
        self.assertEqual((app.name, app.id, app.key, app.secret), ("main", "7", "public", SECRET))
        self.assertEqual([one.definition.name for one in config.defined], ["pusher"])
        self.assertNotIn(SECRET, repr(config))

    def test_secret_file(self) -> None:
        config = self.load(APP.replace(f'secret = "{SECRET}"', 'secret_file = "secret"'))
        self.assertEqual(config.pusher.apps[0].secret, "from-a-file")
        self.wrong(APP.replace(f'secret = "{SECRET}"', 'secret_file = "none"'), "main.secret_file")

    def test_wrong_apps(self) -> None:
        self.wrong(APP + "colour = 1", "pusher.apps.main", "'colour'", "unknown")
        self.wrong(APP.replace('id = "7"', ""), "needs id and key")
        self.wrong(APP.replace(f'"{SECRET}"', "7"), "has secret, which")
        self.wrong(APP + 'secret_file = "secret"', "not both")
        self.wrong(APP + APP.replace("main", "other"), "one id")
        self.wrong("[pusher]\napps = 7", "pusher.apps")
        self.wrong(APP + "[channels.pusher]\npublic = true\n", "channels.pusher")

    def test_wrong_rules(self) -> None:
        def rule(text: str) -> str:
            return f"{APP}\n[[pusher.map]]\n{text}\n"

        self.wrong(rule('pattern = "a-{x}{y}"\nchannel = "chat"'), "table 1", "nothing between")
        self.wrong(rule('channel = "chat"'), "needs pattern and channel")
        self.wrong(
            rule('pattern = "news-{x}"\nchannel = "news"\ntrust_signature = true'), "private-"
        )
        self.wrong(rule('pattern = "a-{x}"\nchannel = "c"\napps = ["other"]'), "'other'")
        two = rule('pattern = "a-{x}"\nchannel = "c"') + '[[pusher.map]]\npattern = "b"\n'
        self.wrong(two + 'channel = "c"\n', "two patterns", "app main")
        self.wrong('[[pusher.map]]\npattern = "a"\nchannel = "c"', "needs an app")

    def test_sizes(self) -> None:
        text = "[pusher]\nmax_event_bytes = 100000\n" + APP
        self.wrong(text, "limits.max_message_bytes", "pusher.max_event_bytes")


class ImportTests(SynchronousTestCase):
    """Who configures no app imports nothing of the facade."""

    def test_not_imported(self) -> None:
        program = (
            "import sys\n"
            "from takotwist.testing.world import World\n"
            "World()\n"
            "print([one for one in sys.modules if 'facades.pusher' in one"
            " or 'compose_pusher' in one])"
        )
        ran = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program],
            capture_output=True,
            text=True,
            check=True,
        )
        self.assertEqual(ran.stdout.strip(), "[]")
