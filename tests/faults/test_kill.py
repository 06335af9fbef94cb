"""``kill -9`` of the server, again and again, while messages are published and read."""

from __future__ import annotations

import threading
import time
import uuid
from random import Random

import httpx
from twisted.trial.unittest import SynchronousTestCase

from tests.faults.seen import say
from tests.sockets.readers import READERS, Cut, Reader
from tests.sockets.server_process import FAST, ServerProcess

ROOM = {"roomId": "lobby"}

#: Seconds that the server lives, taken over all its lives.
LIFE = 1.0


class Publishing(threading.Thread):
    """Publishes one message after the other, each again until it is acknowledged.

    :ivar acknowledged: number of each message -> the id that the server gave it.
    """

    def __init__(self, server: ServerProcess, worker: int) -> None:
        super().__init__(daemon=True)
        self.server, self.worker = server, worker
        self.acknowledged: dict[str, str] = {}
        self.uncertain = 0
        self.over = threading.Event()

    def run(self) -> None:
        number = 0
        with self.server.private(timeout=10) as private:
            while not self.over.is_set():
                name = f"{self.worker}/{number}"
                self.acknowledged[name] = self._until_acknowledged(private, name)
                number += 1

    def _until_acknowledged(self, private: httpx.Client, name: str) -> str:
        key = str(uuid.uuid4())
        while True:
            try:
                answer = private.post(
                    "/channels/chat?roomId=lobby",
                    json={"type": "msg", "data": {"name": name}},
                    headers={"Idempotency-Key": key},
                )
            except httpx.TransportError:
                # Whether it was stored is not known: the key makes it safe to ask again.
                self.uncertain += 1
                time.sleep(0.02)
                continue
            assert answer.status_code == 200, answer.text
            return str(answer.json()["id"])


class Reading(threading.Thread):
    """Reads through every death of the server."""

    def __init__(self, reader: Reader) -> None:
        super().__init__(daemon=True)
        self.reader = reader
        self.last: str | None = None
        self.failure: BaseException | None = None

    def run(self) -> None:
        reader = self.reader
        try:
            while self.last is None or int(reader.cursor) < int(self.last):
                try:
                    if not reader.connected:
                        reader.connect()
                    reader.read(timeout=0.5)
                except (Cut, ConnectionError) as cut:
                    assert not getattr(cut, "status", 0), cut
                    time.sleep(0.02)
                except TimeoutError:
                    pass
        except BaseException as failure:
            self.failure = failure
        finally:
            reader.close()


class KillTests(SynchronousTestCase):
    """What an acknowledgement is worth."""

    def kill_and_compare(self, durability: str, lives: int) -> None:
        random = Random(f"kills with {durability}")
        server = ServerProcess(f'{FAST}\n[replay]\ndurability = "{durability}"\n')
        self.addCleanup(server.close)
        server.start()
        publishing = [Publishing(server, worker) for worker in range(4)]
        reading = [
            Reading(kind(server.port, "chat", ROOM, cursor="0")) for kind in READERS.values()
        ]
        for thread in (*publishing, *reading):
            thread.start()
        for _ in range(lives):
            time.sleep(LIFE * random.uniform(0.5, 1.5))
            server.kill()
            server.start()
        for one in publishing:
            one.over.set()
        for one in publishing:
            one.join(30)
            self.assertFalse(one.is_alive())
        with server.private() as private:
            answer = private.post(
                "/channels/chat?roomId=lobby", json={"type": "msg", "data": {"name": "last"}}
            )
        for reader in reading:
            reader.last = answer.json()["id"]
        for reader in reading:
            reader.join(60)
            self.assertFalse(reader.is_alive(), "a message that does not come")
            if reader.failure is not None:
                raise reader.failure

        acknowledged = {
            name: number for one in publishing for name, number in one.acknowledged.items()
        }
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
            ids = [int(message["id"]) for message in reader.reader.messages]
            self.assertEqual(ids, sorted(set(ids)), "doubled or out of order")
            seen = {message["data"]["name"]: message["id"] for message in reader.reader.messages}
            self.assertEqual(len(seen), len(ids), "a repeated publish was stored twice")
            del seen["last"]
            self.assertEqual(seen, acknowledged)
            self.assertGreater(reader.reader.connections, lives)
        server.assert_clean()

    def test_killed_every_second(self) -> None:
        """A server that is killed once a second loses no acknowledged message, and every reader
        gets each of them once, in order, with the id that its publisher was told."""
        self.kill_and_compare("commit", 8)

    def test_killed_with_power_durability(self) -> None:
        """The same with durability for a loss of power."""
        self.kill_and_compare("power", 2)
