"""A worker's part of what is bounded for the whole server."""

from __future__ import annotations

import attrs
from twisted.trial.unittest import SynchronousTestCase

from takotwist.server.config import Config
from takotwist.server.config.config import KEYS
from takotwist.server.worker import SHARED, share


class ShareTests(SynchronousTestCase):
    """Parts of a configuration."""

    def test_parts(self) -> None:
        """All parts together are at least the whole, and hardly more."""
        config = Config()
        part = share(config, 3)
        for dotted, least in SHARED.items():
            whole, one = config.value(KEYS[dotted]), part.value(KEYS[dotted])
            self.assertGreaterEqual(3 * one, whole, dotted)
            if least is None or one > config.value(KEYS[least]):
                self.assertLess(3 * (one - 1), whole, dotted)

    def test_rest(self) -> None:
        """Nothing else changes; for one worker nothing does."""
        config = Config()
        part = share(config, 3)
        for dotted, key in KEYS.items():
            if dotted not in SHARED:
                self.assertEqual(part.value(key), config.value(key), dotted)
        self.assertEqual(share(config, 1), config)

    def test_least(self) -> None:
        """A part has room for one message, whatever the whole is."""
        config = Config()
        limits = attrs.evolve(config.limits, pending_append_bytes=100_000, pending_appends=2)
        part = share(attrs.evolve(config, limits=limits), 8).limits
        self.assertEqual(part.pending_append_bytes, limits.max_message_bytes)
        self.assertEqual(part.pending_appends, 1)
