"""What is asked of the app, and what it may answer."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.authorization import AuthRequest, Grant, HeaderCredential
from takotwist.core.channel import Lifecycle


class TestHeader(SynchronousTestCase):
    """The declared header, split once at the first space."""

    def test_split(self) -> None:
        """Scheme and value; no space, value only."""
        for text, scheme, value in (
            ("Bearer abc", "Bearer", "abc"),
            ("Bearer a b c", "Bearer", "a b c"),
            ("abc", None, "abc"),
            ("  Bearer   abc ", "Bearer", "abc"),
        ):
            read = HeaderCredential.split(text)
            self.assertEqual((read.scheme, read.value), (scheme, value))

    def test_never_shown(self) -> None:
        """No credential is in a repr, which may reach a log."""
        request = AuthRequest("c", "connect", {}, HeaderCredential("secret"), "secret")
        self.assertNotIn("secret", repr(request))


class TestGrant(SynchronousTestCase):
    """The app's yes."""

    def test_overrides(self) -> None:
        """What a grant says of the lifecycle holds, the rest is the channel's."""
        lifecycle = Grant(replay_window_ms=5_000).lifecycle(Lifecycle(inactivity_ttl_ms=7))
        self.assertEqual((lifecycle.replay_window_ms, lifecycle.inactivity_ttl_ms), (5_000, 7))

    def test_kept_within_bounds(self) -> None:
        """An app cannot ask for a keepalive that would drown the server."""
        self.assertEqual(
            Grant(keepalive_interval_ms=1).lifecycle(Lifecycle()).keepalive_interval_ms, 1_000
        )
