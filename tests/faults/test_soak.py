"""The soak itself, for a quarter of a minute: its load and its checks, and no flood of memory."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.faults.seen import say
from tests.faults.soak import CONFIG, MIB, Sample, Soaked, soak
from tests.sockets.server_process import ServerProcess

#: A server of some seconds' age is still warming up.
LOOSE = Sample(memory=10 * MIB, descriptors=10, threads=5, database=8 * MIB)


class SoakTests(SynchronousTestCase):
    """A mixed load on a real server."""

    def test_short_soak(self) -> None:
        """Every reader, those who come and go too, sees each message once and in order, and
        nothing grows without a bound."""
        server = ServerProcess(CONFIG)
        self.addCleanup(server.close)
        soaked = soak(server.start(), 15.0)
        say("a mixed load for 15 s", "\n" + soaked.table())
        self.assertEqual(soaked.grown(LOOSE), [])
        self.assertGreater(soaked.visits, 20)
        self.assertGreater(soaked.published, 100)
        server.assert_clean()

    def test_what_grows_is_named(self) -> None:
        """Of a server that holds more and more, it is said what."""
        samples = [Sample(50 * MIB, 20 + second, 5, MIB) for second in range(60)]
        self.assertEqual(Soaked(samples, 1, 1).grown(), ["descriptors"])
        self.assertEqual(Soaked(samples[:1] * 60, 1, 1).grown(), [])
