"""Who hears of messages, and in which order."""

from __future__ import annotations

import asyncio
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from takotwist.live.machine.frames import Frame, Trouble
from takotwist.live.objects.channel import Listeners
from takotwist.live.objects.outcome import ANYTHING


class OrderTests(SynchronousTestCase):
    """Coroutines and plain functions beside each other."""

    def hear(self) -> list[Any]:
        """What is heard of bytes by a coroutine, and of the text behind them by a function."""
        heard: list[Any] = []

        async def chunk(data: bytes) -> None:
            heard.append(data)
            await asyncio.sleep(0)

        def answered(frame: Frame, data: bytes, trouble: Trouble | None) -> None:
            heard.append(("settled", frame.seq, trouble))

        async def main() -> None:
            listening = Listeners(self, answered, lambda error: None)
            listening.add(True, chunk)
            listening.add(False, heard.append)
            listening.deliver(Frame("send", 1, b"one", True), ANYTHING)
            listening.deliver(Frame("send", 2, b"two", True), ANYTHING)
            listening.deliver(Frame("send", 3, b'"done"', ack=True), ANYTHING)
            await asyncio.sleep(0)
            listening.deliver(Frame("send", 4, b'"late"'), ANYTHING)
            for _ in range(5):
                await asyncio.sleep(0)

        asyncio.run(main())
        return heard

    def test_asyncio(self) -> None:
        """On an asyncio loop a function does not overtake a coroutine of an earlier message."""
        heard = self.hear()
        self.assertEqual(
            [one for one in heard if not isinstance(one, tuple)], [b"one", b"two", "done", "late"]
        )
        settled = [one[1:] for one in heard if isinstance(one, tuple)]
        self.assertEqual(sorted(settled), [(seq, None) for seq in (1, 2, 3, 4)])
