"""The whole configuration as one value."""

from __future__ import annotations

from pathlib import Path

import attrs
from twisted.trial.unittest import SynchronousTestCase

from takotwist.server.config import KEYS, SECTIONS, Config, Http, Limits, Publish, needs_restart


class ConfigTests(SynchronousTestCase):
    """All keys, and what a change of them needs."""

    def test_keys(self) -> None:
        """Every field of every section is a key, under its dotted name, and has a value."""
        for name, section in SECTIONS.items():
            for field in attrs.fields(section):
                key = KEYS[f"{name}.{field.name}"]
                self.assertEqual(Config().value(key), key.default)
        self.assertEqual(Config(state_dir=Path("x")).value(KEYS["state_dir"]), Path("x"))

    def test_needs_restart(self) -> None:
        """The keys that differ and are not taken up by a reload, and those alone."""
        running = Config()
        self.assertEqual(list(needs_restart(running, Config())), [])
        wanted = Config(
            http=Http(listen=("tcp:1",)),
            limits=Limits(max_connections=5, outbox_bytes=5),
            publish=Publish(keys=("a-new-key",)),
            state_dir=Path("elsewhere"),
        )
        self.assertEqual(
            sorted(needs_restart(running, wanted)),
            ["http.listen", "limits.outbox_bytes", "state_dir"],
        )

    def test_secrets(self) -> None:
        """No secret is in the text of a configuration."""
        config = Config(publish=Publish(keys=("a-key-that-nobody-guesses",)))
        self.assertNotIn("nobody-guesses", repr(config))
