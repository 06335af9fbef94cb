"""The user's own data folder."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from takotwist.server.config.user_folder import user_data_folder


class UserFolderTests(SynchronousTestCase):
    """By the environment, and by who owns what."""

    def setUp(self) -> None:
        self.home = Path(self.mktemp()).absolute()
        self.home.mkdir(parents=True)

    def test_given(self) -> None:
        """XDG_DATA_HOME wins over HOME, where it is a whole path."""
        environ = {"XDG_DATA_HOME": "/data", "HOME": str(self.home)}
        self.assertEqual(user_data_folder(environ), Path("/data/takotwist"))
        environ["XDG_DATA_HOME"] = "data"
        self.assertEqual(user_data_folder(environ), self.home / ".local/share/takotwist")

    def test_home(self) -> None:
        """Else it is below a home that is the user's own."""
        found = user_data_folder({"HOME": str(self.home)})
        self.assertEqual(found, self.home / ".local/share/takotwist")

    def test_none(self) -> None:
        """No home, one that is no whole path, that is not there, or somebody else's, is none."""
        for environ in ({}, {"HOME": "home"}, {"HOME": str(self.home / "missing")}):
            self.assertIsNone(user_data_folder(environ))
        real = os.geteuid()
        self.patch(os, "geteuid", lambda: real + 1)
        self.assertIsNone(user_data_folder({"HOME": str(self.home)}))
