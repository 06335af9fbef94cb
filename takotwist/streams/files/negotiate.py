"""Which content coding to send: Accept-Encoding against what is there.

RFC 9110, section 12.5.3.  The client's weights decide; the server's own order
only settles ties, and identity comes last in a tie, as it is the largest.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

IDENTITY = "identity"

# A weight has at most three decimals, and "0", "0.", "0.0" and "0.000" are all zero.
_WEIGHT = re.compile(rb"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ALIASES = {"x-gzip": "gzip", "x-compress": "compress"}


def weights(accept_encoding: bytes | None) -> dict[str, float]:
    """The weight of each coding that is named, lower case; ``*`` stands for the rest.

    A member that is not of the grammar counts as absent.  Where a coding is named
    twice the first one counts.
    """
    named: dict[str, float] = {}
    for member in (accept_encoding or b"").split(b","):
        coding, _, parameters = member.partition(b";")
        coding = coding.strip(b" \t")
        weight = _weight(parameters)
        if weight is None or not _TOKEN.fullmatch(coding):
            continue
        name = coding.decode("ascii").lower()
        named.setdefault(_ALIASES.get(name, name), weight)
    return named


def rank(accept_encoding: bytes | None, available: Sequence[str]) -> tuple[str, ...]:
    """The codings that may be sent, best first.

    :param accept_encoding: the header, repeated lines joined, or `None` where absent.
    :param available: the codings other than identity that may be there, the server's
        favourite first.
    :return: members of `available` and `IDENTITY`; empty where the client refuses
        everything, which is a 406.  Without the header only identity is sent:
        anything would be allowed, but old clients that send none cannot decode.
    """
    if accept_encoding is None:
        return (IDENTITY,)
    named = weights(accept_encoding)
    rest = named.get("*", 0.0)
    offers = [(named.get(coding, rest), coding) for coding in available]
    # Identity is acceptable unless refused by name, or by "*" without its name.
    identity = named.get(IDENTITY, named.get("*"))
    if identity is None:
        # Never named: any coding that was asked for is preferred to it.
        identity = 0.0001
    offers.append((identity, IDENTITY))
    # sorted() is stable, so ties keep the server's order.
    best_first = sorted(offers, key=lambda offer: offer[0], reverse=True)
    return tuple(coding for weight, coding in best_first if weight > 0)


def _weight(parameters: bytes) -> float | None:
    if not parameters.strip(b" \t"):
        return 1.0
    name, _, value = parameters.strip(b" \t").partition(b"=")
    if name.lower() != b"q" or not _WEIGHT.fullmatch(value):
        return None
    return float(value)
