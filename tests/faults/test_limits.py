"""Every line of ``docs/reference/limits.md``, reached on a real server."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist.server.config.config import KEYS
from tests.faults.limit import Limit
from tests.faults.limits import LIMITS
from tests.faults.live_client import FUNCTIONS
from tests.faults.reaching import MSG, SLOW_CHANNEL, post
from tests.faults.reaching_presence import WHO_CHANNEL
from tests.faults.seen import say
from tests.sockets.server_process import CHANNELS, FAST, ServerProcess

#: Keys that refuse nobody: they say how much is kept, how long a stop takes, or what a page
#: is to do.
NOT_REFUSING = {
    "tail_bytes",
    "tail_total_bytes",
    "drain_seconds",
    "idle_timeout_seconds",
    "client_replay_bytes",
    "client_replay_bytes_binary",
    "path",
    "channel",
}


class LimitTests(SynchronousTestCase):
    """Each limit is reached; who reaches it is told, and the server is well afterwards."""

    timeout = 300

    def _reach(self, limit: Limit) -> list[str]:
        config = limit.toml if "_rate" in limit.toml else _also_fast(limit.toml)
        server = ServerProcess(
            config,
            {"rooms.py": CHANNELS, "slow.py": SLOW_CHANNEL, "who.py": WHO_CHANNEL},
            tls=limit.tls,
        )
        server.write("functions/live.py", FUNCTIONS)
        try:
            said = limit.reach(server.start())
            assert post(server, MSG, "/channels/news").status_code == 200
            server.assert_clean()
            return said
        finally:
            server.close()

    def test_all(self) -> None:
        """Every line of the table is what its client is told."""
        wrong = []
        for limit in LIMITS:
            try:
                said = self._reach(limit)
            except Exception as bad:
                said = [f"{type(bad).__name__}: {bad}"]
            say(f"{limit.what}, past {limit.bound}", ", ".join(said))
            if tuple(said) != limit.says:
                wrong.append(f"{limit.what}: {said}, not {list(limit.says)}")
        self.assertEqual(wrong, [])

    def test_none_is_left_out(self) -> None:
        """Every key of [limits], of [live] and of [streams] has its line."""
        bounds = " ".join(f"{limit.bound} {limit.toml}" for limit in LIMITS)
        missing = [
            key.name
            for key in KEYS.values()
            if key.section in ("limits", "live", "streams")
            and key.name not in bounds
            and key.name not in NOT_REFUSING
        ]
        self.assertEqual(missing, [])


def _also_fast(toml: str) -> str:
    """`toml`, and no limit of rates."""
    if "[limits]" not in toml:
        return f"{FAST}\n{toml}\n"
    return toml.replace("[limits]", FAST.strip())
