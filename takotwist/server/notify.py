"""Notifications of the service manager (sd_notify(3)), where it asks for them.

Rule: a manager that is not there, or does not listen, changes nothing for us.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress

import attrs


@attrs.frozen
class Notify:
    """Messages to the socket that `NOTIFY_SOCKET` names; to nobody where it names none."""

    _address: str = ""

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Notify:
        """As the environment says; ``@`` at the begin is an abstract socket."""
        address = environ.get("NOTIFY_SOCKET", "")
        return cls("\0" + address[1:] if address.startswith("@") else address)

    def ready(self, status: str) -> None:
        """The service serves, or has finished to read its configuration again."""
        self._send(f"READY=1\nMAINPID={os.getpid()}\nSTATUS={status}")

    def reloading(self) -> None:
        """It reads its configuration again; `ready` follows."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send(f"RELOADING=1\nMONOTONIC_USEC={now}")

    def stopping(self) -> None:
        """It stops."""
        self._send("STOPPING=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.sendto(text.encode(), self._address)
