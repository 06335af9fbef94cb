"""Servers that speak the Pusher protocol, each with one app."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from benchmarks.peers.peer import Peer, free_port
from benchmarks.peers.tako import Tako

ID, KEY, SECRET = "7", "key-of-the-benchmark", "secret-of-the-benchmark"

_APP = f"""
[pusher.apps.main]
id = "{ID}"
key = "{KEY}"
secret = "{SECRET}"
"""

#: uWebSockets.js is on GitHub alone; this is a build of it on npm, of the version next to the one
#: that soketi names.
_SOKETI = {
    "private": True,
    "dependencies": {"@soketi/soketi": "1.6.1"},
    "overrides": {"uWebSockets.js": "npm:@trufflesuite/uws-js-unofficial@20.30.0-unofficial.0"},
}


class PusherTako(Tako):
    """Ours, which stores what is triggered in its log on disk before it is delivered."""

    def __init__(self, folder: Path, certificate: Path | None = None) -> None:
        super().__init__(folder, certificate)
        with (folder / "tako.toml").open("a") as config:
            config.write(_APP)


class Soketi(Peer):
    """soketi, on node and uWebSockets; it stores nothing."""

    name = "soketi"
    tls = False

    def command(self) -> list[str]:
        folder = _installed()
        return ["node", str(folder / "node_modules/@soketi/soketi/bin/server.js"), "start"]

    def environment(self) -> Mapping[str, str]:
        return {
            "SOKETI_HOST": "127.0.0.1",
            "SOKETI_PORT": str(self.port),
            "SOKETI_METRICS_SERVER_PORT": str(free_port()),
            "SOKETI_DEFAULT_APP_ID": ID,
            "SOKETI_DEFAULT_APP_KEY": KEY,
            "SOKETI_DEFAULT_APP_SECRET": SECRET,
        }


def _installed() -> Path:
    """The folder with it, installed when it is first needed."""
    caches = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = caches / "takotwist-benchmarks" / "soketi"
    if not (folder / "node_modules" / ".package-lock.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text(json.dumps(_SOKETI))
        options = ["--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
        subprocess.run(["npm", "install", *options, "--prefix", folder], check=True)
    return folder
