"""Every configuration that a page shows is one that the server takes."""

from __future__ import annotations

import tempfile
import tomllib
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist.server.config import load_config
from tests.docs.page import blocks, write_project

#: Files that a configuration may name, and that are somewhere else in life.
_ELSEWHERE = ("/etc/takotwist/", "/etc/tako/", "/etc/letsencrypt/live/chat.example.com/")

_SECRET = "a-secret-of-forty-characters-0123456789ab"
_SIGNING = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"


def _made(folder: Path, said: dict[str, Any]) -> None:
    app, publish, tokens = (said.get(name, {}) for name in ("app", "publish", "tokens"))
    for folder_name in (app.get("channels"), app.get("pages")):
        if folder_name and ":" not in folder_name:
            (folder / folder_name).mkdir(parents=True, exist_ok=True)
    for apps, secret in (
        (said.get("pusher", {}).get("apps", {}), _SECRET),
        (said.get("webhooks", {}).get("endpoints", {}), _SIGNING),
    ):
        for one in apps.values():
            if "secret_file" in one:
                (folder / one["secret_file"]).write_text(secret)
                (folder / one["secret_file"]).chmod(0o600)
    for file in (app.get("token_file"), publish.get("keys_file"), tokens.get("secrets_file")):
        if file and not Path(file).is_absolute():
            (folder / file).write_text(_SECRET)
            (folder / file).chmod(0o600)


class TestConfigBlocks(SynchronousTestCase):
    def test_loads(self) -> None:
        """Each one is read without a problem or a warning."""
        found = blocks("toml")
        self.assertGreater(len(found), 10)
        for block in found:
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                write_project(block.page, folder)
                text = block.text
                for place in _ELSEWHERE:
                    text = text.replace(place, f"{folder}/")
                _made(folder, tomllib.loads(text))
                for absolute in ("app-token", "publish-keys", "fullchain.pem", "privkey.pem"):
                    (folder / absolute).write_text(_SECRET)
                    (folder / absolute).chmod(0o600)
                (folder / "tako.toml").write_text(text)
                environment = {"TAKO_APP_TOKEN": _SECRET} if "token" not in text else {}
                try:
                    config = load_config({}, environment, name)
                except Exception as wrong:
                    self.fail(f"{block.place}: {wrong}")
                # A page may show a section alone.
                warnings = [one for one in config.warnings if "no channel is defined" not in one]
                self.assertEqual(warnings, [], block.place)
