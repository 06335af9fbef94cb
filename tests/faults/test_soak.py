"""The soak itself, for a quarter of a minute: its load and its checks, and no flood of memory."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.faults.load import InOrder
from tests.faults.samples import MIB, Held, Sample
from tests.faults.seen import say
from tests.faults.soak import config, injected, soak
from tests.sockets.server_process import ServerProcess

#: A server of some seconds' age is still warming up.
LOOSE = Sample(memory=10 * MIB, descriptors=10, threads=5, timers=60, database=8 * MIB)

RATES = [10.0, 20.0, 10.0]


class SoakTests(SynchronousTestCase):
    """A mixed load on a real server."""

    def test_short_soak(self) -> None:
        """Every reader, those who come and go too, sees each message once and in order, and
        nothing grows without a bound."""
        server = ServerProcess(config(sum(RATES)))
        self.addCleanup(server.close)
        soaked = soak(server.start(), 15.0, RATES)
        say(f"for 15 s: {injected(RATES)}", "\n" + soaked.table())
        self.assertEqual(soaked.held.grown(LOOSE), [])
        self.assertGreater(soaked.visits, 20)
        self.assertGreater(soaked.published, 100)
        server.assert_clean()

    def test_what_grows_is_named(self) -> None:
        """Of a server that holds more and more, it is said what."""
        samples = [Sample(50 * MIB, 20 + second, 5, 9, MIB) for second in range(60)]
        self.assertEqual(Held(samples).grown(), ["descriptors"])
        self.assertEqual(Held(samples[:1] * 60).grown(), [])

    def test_what_is_not_the_next_is_noticed(self) -> None:
        """A message that is left out, comes again or comes too early is a fault."""
        for numbers in ([0, 2], [0, 0], [1]):
            seen = InOrder()
            with self.assertRaises(AssertionError):
                for id, number in enumerate(numbers, 1):
                    seen({"id": str(id), "data": ["a", number]})
        with self.assertRaises(AssertionError):
            seen = InOrder()
            seen({"id": "2", "data": ["a", 0]})
            seen({"id": "1", "data": ["b", 0]})
