"""``kill -9`` of the server, again and again, while messages are published and read."""

from __future__ import annotations

import time
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from tests.faults.seen import say
from tests.faults.through import ROOM, Publishing, Reading, finish
from tests.sockets.readers import READERS
from tests.sockets.server_process import FAST, ServerProcess, wait_until

#: Seconds that the server lives, taken over all its lives.
LIFE = 1.0


class KillTests(SynchronousTestCase):
    """What an acknowledgement is worth."""

    def kill_and_compare(self, durability: str, lives: int) -> None:
        random = Random(f"kills with {durability}")
        server = ServerProcess(f'{FAST}\n[replay]\ndurability = "{durability}"\n')
        self.addCleanup(server.close)
        server.start()
        publishing = [Publishing(server, str(worker)) for worker in range(4)]
        reading = [
            Reading(kind(server.port, "chat", ROOM, cursor="0")) for kind in READERS.values()
        ]
        for thread in (*publishing, *reading):
            thread.start()
        for life in range(lives):
            # A life is a life once everybody has come back, however long that takes here.
            count = sum(len(one.acknowledged) for one in publishing)
            wait_until(
                lambda life=life, count=count: (  # type: ignore[misc]
                    any(one.failure for one in (*publishing, *reading))
                    or (
                        all(one.reader.connections > life for one in reading)
                        and sum(len(one.acknowledged) for one in publishing) > count + 10
                    )
                ),
                f"everybody in life {life}",
            )
            time.sleep(LIFE * random.uniform(0.5, 1.5))
            server.kill()
            server.start()
        acknowledged = finish(self, publishing, reading)
        connections = sum(one.reader.connections for one in reading)
        say(
            f"{lives} kills at random moments of a second, durability {durability}, while"
            f" {len(publishing)} publish",
            f"{len(acknowledged)} acknowledged, {sum(one.uncertain for one in publishing)} asked"
            f" again; {len(reading)} readers with {connections} connections have"
            f" {', '.join(str(len(one.reader.messages)) for one in reading)} messages",
        )
        self.assertGreater(len(acknowledged), lives * 10)
        self.assertGreater(sum(one.uncertain for one in publishing), 0)
        for reader in reading:
            self.assertGreater(reader.reader.connections, lives)
        server.assert_clean()

    def test_killed_every_second(self) -> None:
        """A server that is killed once a second loses no acknowledged message, and every reader
        gets each of them once, in order, with the id that its publisher was told."""
        self.kill_and_compare("commit", 8)

    def test_killed_with_power_durability(self) -> None:
        """The same with durability for a loss of power."""
        self.kill_and_compare("power", 2)
