"""Why a connection failed, in words for a person.

Twisted's own texts are lists of failures, and OpenSSL's are lists of tuples.
"""

from __future__ import annotations

import os

from OpenSSL.SSL import Error as TlsError
from twisted.internet.error import ConnectError


def sentence_of(failed: BaseException | None) -> str:
    """One sentence about what went wrong with a connection or a request."""
    reasons = getattr(failed, "reasons", None)
    if reasons:
        return sentence_of(reasons[-1].value)
    if isinstance(failed, TlsError) and failed.args and isinstance(failed.args[0], list):
        words = [reason for *_, reason in failed.args[0] if reason]
        return f"TLS: {'; '.join(words)}" if words else "TLS failed"
    if isinstance(failed, ConnectError) and isinstance(failed.osError, int):
        return os.strerror(failed.osError)
    return str(failed or "") or type(failed).__name__
