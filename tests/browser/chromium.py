"""Chromium without a window, for one page: the page says when it is done."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import Request

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")


class Report(Resource):
    """Where the page says what it saw, in JSON."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived: Deferred[Any] = Deferred()

    def render_POST(self, request: Request) -> bytes:
        self.arrived.callback(json.loads(request.content.read()))
        return b""


class Chromium(ProcessProtocol):
    """A browser on `url`.

    :param profile: where a folder for it is made.
    :param switches: of its command line.
    :ivar gone: fires when it has ended.
    """

    def __init__(self, reactor: Any, url: str, profile: Path, *switches: str) -> None:
        self.gone: Deferred[None] = Deferred()
        self.errors = b""
        program = next(filter(None, map(shutil.which, PROGRAMS)), None)
        if program is None:
            raise RuntimeError(f"one of {', '.join(PROGRAMS)} must be installed")
        arguments = [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"]
        profile.mkdir(parents=True)
        profile = profile.absolute()
        arguments += ["--disable-dev-shm-usage", f"--user-data-dir={profile}"]
        arguments += [*switches, url]
        self._process = reactor.spawnProcess(
            self, program, arguments, env={**os.environ, "HOME": str(profile)}
        )

    def errReceived(self, data: bytes) -> None:
        self.errors = (self.errors + data)[-4000:]

    def processEnded(self, reason: Failure) -> None:
        self.gone.callback(None)

    def stop(self) -> Deferred[None]:
        """End it."""
        with suppress(ProcessExitedAlready):
            self._process.signalProcess("KILL")
        return self.gone
