"""``tako dev`` in a process of its own, in a folder of its own, as somebody writes an app there."""

from __future__ import annotations

import time
from collections.abc import Callable

from takotwist.admin.channels import CHANNELS_PATH
from tests.sockets.server_process import ServerProcess, free_port, wait_until

#: A channel, by which it is seen what of the file was taken up.
CHANNEL = """
from takotwist import define_channel

chat = define_channel("{name}")
"""


class DevProcess(ServerProcess):
    """The server under development.

    :param arguments: of ``tako dev``.
    """

    def __init__(self, config: str = "", name: str = "first") -> None:
        super().__init__(config, {"chat.py": CHANNEL.format(name=name)}, serve=True, tls=True)
        # What commands of the project listen on.
        self.app_port = free_port()

    def write(self, path: str, text: str) -> None:
        """Save a file of its folder, at once: what is half written would be taken up too."""
        new = self.folder.with_name(f"{self.folder.name}.new")
        new.write_text(text)
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        new.replace(file)

    def write_config(self, config: str) -> None:
        """Write another ``tako.toml``, which leaves the state folder to its default."""
        self.write("tako.toml", config)

    @property
    def command(self) -> list[str]:
        """How it is started."""
        serve, _, *flags = super().command
        return [serve, "dev", *(one for one in flags if one != "--tls")]

    def define(self, name: str) -> None:
        """Save the channel under another name."""
        self.write("channels/chat.py", CHANNEL.format(name=name))

    @property
    def channels(self) -> set[str]:
        """What is defined, as the server says it."""
        with self.private() as private:
            return {one["channel"] for one in private.get(CHANNELS_PATH).json()["channels"]}

    def until_defined(self, name: str) -> float:
        """Seconds until the server has taken up that name, from now on."""
        began = time.monotonic()
        self.until(lambda: name in self._now(), f"channel {name}")
        return time.monotonic() - began

    def _now(self) -> set[str]:
        """As `channels`; nothing while it starts over."""
        try:
            return self.channels
        except Exception:
            return set()

    def until_said(self, text: str, count: int = 1) -> None:
        """Until the terminal shows `text` so often."""
        self.until(lambda: self.log.count(text) >= count, repr(text))

    def until(self, true: Callable[[], object], what: str) -> None:
        """Until `true()` is.

        :raises AssertionError: it did not become so; holds the log.
        """
        try:
            wait_until(true, what)
        except AssertionError as late:
            raise AssertionError(f"{late}\n{self.log}") from None
