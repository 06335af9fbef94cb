"""What a fault test injected and what it then saw, for who reads its output."""

from __future__ import annotations

import sys


def say(injected: str, saw: str) -> None:
    """One line each."""
    print(f"\n    injected: {injected}\n    saw:      {saw}", file=sys.stderr, flush=True)
