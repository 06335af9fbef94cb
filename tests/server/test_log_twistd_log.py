"""Our log under twistd and twist."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

from twisted.logger import Logger
from twisted.python.reflect import namedAny
from twisted.trial.unittest import SynchronousTestCase

from takotwist.server.config import Config, Log
from takotwist.server.log import ServerLog, take_over


def _config(format: str = "text") -> Config:
    return Config(log=Log(format=format))


class TwistdLogTests(SynchronousTestCase):
    """Where lines go is twistd's choice, how they look is ours."""

    def test_twistd_file(self) -> None:
        """Lines go to the file that twistd was told of, in our form."""
        name = Path(self.mktemp())
        name.parent.mkdir(parents=True, exist_ok=True)
        parent: dict[str, Any] = {"logfile": str(name), "nodaemon": True}
        take_over(parent, lambda: ServerLog(_config("json")))
        observer = namedAny(parent["logger"])()
        Logger(namespace="a", observer=observer).info("hello")
        self.assertEqual(json.loads(name.read_text())["message"], "hello")

    def test_twist_destination(self) -> None:
        """twist opens its own file; only the form is ours."""
        parent: dict[str, Any] = {"fileLogObserverFactory": None}
        take_over(parent, lambda: ServerLog(_config()))
        out = StringIO()
        Logger(namespace="a", observer=parent["fileLogObserverFactory"](out)).info("hello")
        self.assertIn("[a] hello", out.getvalue())

    def test_daemon_to_standard_output(self) -> None:
        """A daemon has none, and twistd's own words say so."""
        parent: dict[str, Any] = {"logfile": "-", "nodaemon": False}
        take_over(parent, lambda: ServerLog(_config()))
        self.assertRaises(SystemExit, namedAny(parent["logger"]))
