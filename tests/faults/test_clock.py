"""The wall clock of a running server is stepped back and forward an hour."""

from __future__ import annotations

import time

from twisted.trial.unittest import SynchronousTestCase

from tests.faults import stepped_clock
from tests.faults.seen import say
from tests.faults.watching import Publishing, Reading, publish
from tests.sockets.readers import READERS, Cut, SseReader
from tests.sockets.server_process import FAST, ServerProcess, wait_until

HOUR = 3600.0
ROOM = {"roomId": "lobby"}

#: So short a keepalive that a timer which waits an hour longer is noticed.
CHANNELS = """
from takotwist import define_channel

room = {"type": "object", "properties": {"roomId": {"type": "string"}}, "required": ["roomId"]}
chat = define_channel("chat", params=room, keepalive_interval=1, replay_window=10_000)
news = define_channel("news", keepalive_interval=1)

@chat.on("msg")
def said(data, context):
    return data
"""


class ClockTests(SynchronousTestCase):
    """What a server does when somebody sets the time."""

    def setUp(self) -> None:
        self.server = ServerProcess(FAST, {"rooms.py": CHANNELS})
        self.addCleanup(self.server.close)
        self.step = self.server.folder / "step"
        self.step.write_text("0")

    def start(self) -> None:
        self.server.start(before=[stepped_clock.__file__, str(self.step)])

    def test_steps(self) -> None:
        """Ids keep increasing, no message is lost or doubled, and keepalives come as before."""
        server = self.server
        self.start()
        publishing = Publishing(server, rate=100)
        reading = [Reading(kind(server.port, "chat", ROOM, "0")) for kind in READERS.values()]
        quiet = SseReader(server.port, "news", {}).begin()
        self.addCleanup(quiet.close)
        for thread in (*reading, publishing):
            thread.start()
        steps = (-HOUR, HOUR, -HOUR, 0.0)
        waits = []
        for step in steps:
            wanted = len(publishing.acknowledged) + 30
            wait_until(lambda n=wanted: len(publishing.acknowledged) > n, "publishes")  # type: ignore[misc]
            self.step.write_text(str(step))
            began = time.monotonic()
            quiet.read(timeout=60)
            quiet.read(timeout=60)
            waits.append(time.monotonic() - began)
        publishing.stop()
        last = int(publish(server, {"n": "last"}))
        seen = [one.finish(last) for one in reading]
        ids = [*publishing.acknowledged.values(), last]
        say(
            f"the wall clock stepped to {', '.join(f'{step:+.0f}' for step in steps)} seconds",
            f"{len(ids)} ids, increasing; two keepalives within"
            f" {max(waits):.1f} s each time; {len(seen)} readers complete",
        )
        self.assertEqual(ids, sorted(set(ids)))
        for one in seen:
            self.assertEqual(one, ids)
        self.assertEqual(publishing.refused, {})
        # Far from an hour, on a machine that does much else.
        self.assertLess(max(waits), 60)
        server.assert_clean()

    def test_restart_an_hour_earlier(self) -> None:
        """A server whose clock went back while it was stopped goes on with its ids, and a cursor
        from before is good."""
        server = self.server
        self.start()
        first = publish(server, {"n": 0})
        server.stop()
        self.step.write_text(str(-HOUR))
        self.start()
        second = publish(server, {"n": 1})
        self.assertGreater(int(second), int(first))
        reader = SseReader(server.port, "chat", ROOM, first).begin()
        self.addCleanup(reader.close)
        reader.read_until(1)
        self.assertEqual(reader.messages[0]["id"], second)
        say("a restart with the clock an hour back", f"id {first}, then {second}")

    def test_window_after_a_step_forward(self) -> None:
        """When the clock goes past the window, a returning reader gets all or is told, and one who
        asks for what is left misses nothing of it."""
        server = self.server
        self.start()
        first = publish(server, {"n": 0})
        second = publish(server, {"n": 1})
        self.step.write_text(str(4 * HOUR))
        last = publish(server, {"n": 2})
        reader = SseReader(server.port, "chat", ROOM, first)
        self.addCleanup(reader.close)
        try:
            reader.begin().read_until(2)
            saw = "all that was missed"
            self.assertEqual([one["id"] for one in reader.messages], [second, last])
        except Cut as cut:
            saw = "that its cursor is too old"
            self.assertEqual(cut.status, 410)
        whole = SseReader(server.port, "chat", ROOM, "0").begin()
        self.addCleanup(whole.close)
        while whole.cursor != last:
            whole.read()
        self.assertEqual([one["id"] for one in whole.messages][-1], last)
        say("the clock four hours on, with a window of 2.8", f"the old cursor: {saw}")

    def test_wrong_at_boot(self) -> None:
        """A machine starts with its clock a year ahead, which is then set right: what was stored
        then, and since, goes when its window is over, and how far ids are ahead is said."""
        server = self.server
        server.write_config(f"{FAST}\n[replay]\nsweep_interval_seconds = 0.2\n")
        self.step.write_text(str(400 * 24 * HOUR))
        self.start()
        publish(server, {"n": "boot"})
        server.stop()
        self.step.write_text("0")
        self.start()
        publish(server, {"n": "now"})

        def left() -> int:
            with server.private() as private:
                return len(private.get("/channels/chat/history?roomId=lobby").json()["messages"])

        self.assertEqual(left(), 2)
        with server.private() as private:
            ahead = private.get("/_tako/health").json()["ids_ahead_seconds"]
        self.assertLess(abs(ahead - 400 * 24 * HOUR), HOUR)
        # A little less than their window of 2.8 hours.
        hours = 2
        self.step.write_text(str(hours * HOUR))
        self.assertEqual(left(), 2)

        def gone() -> bool:
            """An hour later: a message goes when it is as old as its window since some sweep."""
            nonlocal hours
            hours += 1
            self.step.write_text(str(hours * HOUR))
            time.sleep(0.2)
            return left() == 0

        wait_until(gone, "messages to be as old as their window")
        [line] = [one for one in server.log.splitlines() if "seconds ahead of the clock" in one]
        say("a clock that was 400 days ahead at the first start", line)
        server.assert_clean()
