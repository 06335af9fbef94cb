"""Ten thousand messages through two hundred cuts, on every transport."""

from __future__ import annotations

import json
import threading
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from tests.sockets.readers import READERS, Reader
from tests.sockets.server_process import ServerProcess

MESSAGES = 10_000
CUTS = 200
BATCH = 50
ROOM = {"roomId": "lobby"}


def publish_all(server: ServerProcess, random: Random) -> None:
    """Publish all messages, most in batches, some alone, as fast as they are taken."""
    done = 0
    with server.private(timeout=60) as private:
        while done < MESSAGES:
            count = min(random.choice((1, 1, 7, BATCH, 2 * BATCH)), MESSAGES - done)
            text = "x" * random.randrange(200)
            body = [
                {"type": "msg", "data": {"n": n, "text": text}} for n in range(done, done + count)
            ]
            answer = private.post("/channels/chat?roomId=lobby", content=json.dumps(body))
            assert answer.status_code == 200, answer.text
            done += count


def read_with_cuts(reader: Reader, random: Random) -> None:
    """Read everything; after each of 200 random messages, cut in the middle of something."""
    for place in sorted(random.randrange(MESSAGES - BATCH) for _ in range(CUTS)):
        reader.connect()
        while len(reader.messages) < place:
            reader.read(random.randrange(1, 2_000))
        # Often nothing at all was read of this connection, or its beginning only.
        if random.random() < 0.3:
            reader.read(random.randrange(1, 200))
        reader.cut(abort=random.random() < 0.5)
    reader.begin().read_until(MESSAGES)


class CutTests(SynchronousTestCase):
    """What a client on a bad network gets."""

    def setUp(self) -> None:
        self.server = ServerProcess()
        self.addCleanup(self.server.close)
        self.server.start()

    def test_every_message_once_in_order(self) -> None:
        """A client that is cut off 200 times while 10,000 messages are published sees each of
        them once, in order: over SSE, plain WebSocket, tako.v1 and a multiplexed connection."""
        failures: list[str] = []
        readers = {
            name: kind(self.server.port, "chat", ROOM, receive_buffer=8192)
            for name, kind in READERS.items()
        }

        def read(name: str) -> None:
            reader = readers[name]
            try:
                read_with_cuts(reader, Random(f"cuts of {name}"))
                numbers = [message["data"]["n"] for message in reader.messages]
                assert numbers == list(range(MESSAGES)), "lost, doubled or out of order"
                assert reader.connections == CUTS + 1, reader.connections
            except BaseException as failure:
                failures.append(f"{name}: {failure!r} after {len(reader.messages)} messages")
            finally:
                reader.close()

        threads = [threading.Thread(target=read, args=(name,), daemon=True) for name in READERS]
        for thread in threads:
            thread.start()
        publish_all(self.server, Random("publishes"))
        for thread in threads:
            thread.join(120)
            self.assertFalse(thread.is_alive(), "a reader waits for what does not come")
        self.assertEqual(failures, [])
        self.server.assert_clean()
