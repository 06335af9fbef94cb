"""The one channel: a sample of this machine every second.

Nothing is sent by clients, so there is no handler, and it is served as SSE.
"""

from msgspec import Struct

from takotwist import define_channel


class Sample(Struct):
    """At `at` (unix time): shares from 0 to 1, load as the kernel has it, bytes."""

    at: float
    cpu: float
    memory: float
    memory_bytes: int
    load: float
    cores: int


# Five minutes are what the page draws, so that is what a new page is given.
machine = define_channel("machine", messages={"sample": Sample}, replay_window=300)
