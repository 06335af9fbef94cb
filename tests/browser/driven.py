"""Chromium as a test drives it: pages that are opened, frozen, cut off and asked.

Playwright drives it, in a Node process of its own (``driver.mjs``).  Rule: a page
is trusted no more than a user's browser would; the certificates that it accepts
are those that ``tako trust --nss`` put into its database.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import attrs

from takotwist.tls.trust_stores import CHROME_DATABASE, NssStore
from tests.browser.chromium import PROGRAMS

DRIVER = Path(__file__).with_name("driver.mjs")

#: Seconds. A client that was cut may wait for half a minute before it tries again, and whoever
#: runs beside us may make the machine slow: what becomes true is true much sooner, and only what
#: never does takes as long.
PATIENCE = 90.0

#: The same of a script that a page runs to its end, such as one that sends some thousand messages.
RUN_PATIENCE = 180.0

#: What Chromium itself prints of a request or a WebSocket that failed, whatever the page
#: does about it: no script can keep it quiet.
_OF_THE_NETWORK = re.compile(
    r"Failed to load resource: net::ERR_|WebSocket connection to '[^']*' failed: "
)


class Browser:
    """One browser with a new profile.

    :param trusted: certificate authorities that it trusts beside its own.
    """

    def __init__(self, *trusted: Path) -> None:
        program = next(filter(None, map(shutil.which, PROGRAMS)), None)
        if program is None:
            raise AssertionError(f"one of {', '.join(PROGRAMS)} must be installed")
        self._home = Path(tempfile.mkdtemp(prefix="tako-browser-"))
        for authority in trusted:
            NssStore(self._home / CHROME_DATABASE).add(authority)
        self._process = subprocess.Popen(
            ["node", str(DRIVER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            self.tell("launch", program=program, home=str(self._home))
        except AssertionError:
            # Nobody has what was not made, to close it.
            self.close()
            raise

    def tell(self, command: str, **given: Any) -> Any:
        """Carry out a command of the driver; its value.

        :raises AssertionError: it failed; says why.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps({"command": command, **given}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError(f"the driver ended at {command}")
        answer = json.loads(line)
        if "error" in answer:
            raise AssertionError(answer["error"])
        return answer["value"]

    def open(self, url: str, width: int = 1000, height: int = 700, *, apart: bool = False) -> Page:
        """A page in a tab, which hides those before it.

        :param apart: in a window of its own, so that both are seen.
        """
        viewport = {"width": width, "height": height}
        return Page(self, self.tell("open", url=url, viewport=viewport, apart=apart))

    def offline(self, offline: bool) -> None:
        """What the machine would tell all pages: that there is no network, or one again."""
        self.tell("offline", offline=offline)

    def close(self) -> None:
        """End it, and remove its profile."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(PATIENCE)
        finally:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
            shutil.rmtree(self._home, ignore_errors=True)


@attrs.frozen
class Page:
    """One tab."""

    browser: Browser
    number: int

    def run(self, script: str, seconds: float = RUN_PATIENCE) -> Any:
        """The value of an expression, awaited where it is a promise.

        :raises AssertionError: it threw, or did not end; says what the console has.
        """
        return self._ask("run", script, seconds)

    def until(self, script: str, seconds: float = PATIENCE) -> Any:
        """Wait until an expression is true; its value.

        :raises AssertionError: it did not become so; says what the console has.
        """
        return self._ask("until", script, seconds)

    def _ask(self, command: str, script: str, seconds: float) -> Any:
        try:
            return self.browser.tell(command, page=self.number, script=script, seconds=seconds)
        except AssertionError as failed:
            # A whole library may be run.
            shown = script if len(script) < 2000 else f"{script[:2000]}..."
            raise AssertionError(f"{failed}\n{command}: {shown}\nconsole: {self.said}") from None

    def go(self, url: str) -> None:
        """Follow a link: the page is left, and may be kept to go back to."""
        self.browser.tell("go", page=self.number, url=url)

    def back(self) -> None:
        """As the browser's button."""
        self.browser.tell("back", page=self.number)

    def reload(self) -> None:
        """As F5."""
        self.browser.tell("reload", page=self.number)

    def freeze(self) -> None:
        """As a browser does to a tab in the background: no task runs."""
        self.browser.tell("lifecycle", page=self.number, state="frozen")

    def thaw(self) -> None:
        """Tasks run again."""
        self.browser.tell("lifecycle", page=self.number, state="active")

    def crash(self) -> None:
        """Its process dies, and nothing of it runs any more."""
        self.browser.tell("crash", page=self.number)

    def move(self, x: int, y: int) -> None:
        """The pointer goes there."""
        self.browser.tell("move", page=self.number, x=x, y=y)

    def press(self, x: int, y: int) -> None:
        """The pointer goes there and clicks."""
        self.browser.tell("press", page=self.number, x=x, y=y)

    def picture(self, file: Path) -> None:
        """What it looks like, as PNG."""
        self.browser.tell("picture", page=self.number, file=str(file))

    def close(self) -> None:
        """As a user leaves it."""
        self.browser.tell("close", page=self.number)

    @property
    def said(self) -> list[str]:
        """Errors on its console, and those that nobody caught."""
        return list(self.browser.tell("said", page=self.number))

    @property
    def errors(self) -> list[str]:
        """The same without what Chromium prints of every failed request by itself."""
        return [line for line in self.said if not _OF_THE_NETWORK.match(line)]
