"""An example, as its ``start`` runs it, in a folder and on ports of its own."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.sockets.server_process import ServerProcess

EXAMPLES = Path(__file__).parents[2] / "examples"


def example_server(name: str, more: str = "", arguments: Sequence[str] = ()) -> ServerProcess:
    """A server of a copy of `examples/<name>`, with its own ``tako.toml``, over HTTPS too.

    :param more: what is added to the configuration.
    :param arguments: of its ``start``.
    """
    server = ServerProcess(channels=None, serve=True, tls=True, arguments=arguments)
    ours = shutil.ignore_patterns("state", "node_modules", "__pycache__")
    shutil.copytree(EXAMPLES / name, server.folder, ignore=ours, dirs_exist_ok=True)
    config = server.folder / "tako.toml"
    config.write_text(f"{config.read_text()}\n{more}")
    return server
