"""How many bytes a transport still holds.

Twisted tells a producer when to pause and when to go on, but not how much is
waiting.  This file is the one place that looks into its buffers; what it does
not know counts as nothing.
"""

from __future__ import annotations

from typing import Any


def unsent_bytes(transport: Any) -> int:
    """Bytes given to `transport` that the kernel has not taken yet.

    :param transport: a TCP or Unix transport of Twisted, or TLS on one.
    """
    total = 0
    while transport is not None:
        # TLS: what waits for this turn to end, and what OpenSSL would not take yet.
        aggregator = getattr(transport, "_aggregator", None)
        for held in (getattr(aggregator, "_buffer", ()), getattr(transport, "_appSendBuffer", ())):
            total += sum(map(len, held))
        if isinstance(data := getattr(transport, "dataBuffer", None), bytes | bytearray):
            return total + len(data) - int(transport.offset) + int(transport._tempDataLen)
        transport = getattr(transport, "transport", None)
    return total
