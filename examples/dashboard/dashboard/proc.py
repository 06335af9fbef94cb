"""Figures of this machine, from Linux's /proc (proc(5))."""

from __future__ import annotations

import os
import time
from pathlib import Path

PROC = Path("/proc")


class Machine:
    """Reads /proc; the share of the CPU is that since the reading before."""

    def __init__(self) -> None:
        self._before = self._ticks()

    def sample(self) -> dict[str, float | int]:
        """The present figures, as the channel's `Sample`."""
        total, idle = self._ticks()
        total_before, idle_before = self._before
        self._before = total, idle
        passed = total - total_before
        memory = self._memory()
        used = memory["MemTotal"] - memory["MemAvailable"]
        return {
            "at": time.time(),
            "cpu": 1 - (idle - idle_before) / passed if passed else 0.0,
            "memory": used / memory["MemTotal"],
            "memory_bytes": used,
            "load": os.getloadavg()[0],
            "cores": os.cpu_count() or 1,
        }

    def _ticks(self) -> tuple[int, int]:
        """All of the CPUs' time since the machine was started, and the idle part of it."""
        fields = [int(one) for one in (PROC / "stat").read_text().split("\n", 1)[0].split()[1:9]]
        return sum(fields), fields[3] + fields[4]

    def _memory(self) -> dict[str, int]:
        """In bytes, by the kernel's names."""
        lines = (line.split() for line in (PROC / "meminfo").read_text().splitlines())
        return {name.rstrip(":"): int(count) * 1024 for name, count, *_ in lines}
