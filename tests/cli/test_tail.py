"""`tako tail`: what somebody at the terminal is told."""

from __future__ import annotations

from types import SimpleNamespace

import click
from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from takotwist.cli.tail import Trouble


class TroubleTests(SynchronousTestCase):
    """Why nothing comes."""

    def test_each_reason_once(self) -> None:
        """A reason is said when it comes up and not at each look, and so is its end."""
        following = SimpleNamespace(trouble=None)

        @click.command()
        def looking() -> None:
            trouble = Trouble(following, "unix:/x.sock")
            for now in (None, "Connection refused", "Connection refused", None, None, "cut"):
                following.trouble = now
                trouble.look()

        said = CliRunner().invoke(looking).stderr.splitlines()
        self.assertEqual(
            said,
            [
                "no connection to unix:/x.sock, trying again: Connection refused",
                "connected",
                "no connection to unix:/x.sock, trying again: cut",
            ],
        )
