"""Which pages may use this server, by the Origin that their browser states.

RFC 6454.  Pure.  Rule: both sides of a comparison are normalized here, and what
cannot be normalized (``null``, user info, a bad port) matches nothing, not
even itself.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Literal

import attrs

_DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}

_ORIGIN = re.compile(
    r"""(?P<scheme>[a-z][a-z0-9+.-]*)://
        (?:\[(?P<ipv6>[0-9a-f:.]+)\]|(?P<host>[^\[\]/?\#@:\s\\]+))
        (?::(?P<port>[0-9]{1,5})?)?
        (?:[/?\#].*)?""",
    re.VERBOSE | re.IGNORECASE,
)


def normalize_origin(origin: str) -> str | None:
    """``scheme://host`` in lower case, with the port where it is not the scheme's own.

    A path and a query are ignored.  `None` for what is no origin of a page.
    """
    found = _ORIGIN.fullmatch(origin.strip())
    if found is None:
        return None
    scheme = found["scheme"].lower()
    if found["ipv6"]:
        try:
            host = f"[{ipaddress.IPv6Address(found['ipv6']).compressed}]"
        except ValueError:
            return None
    else:
        try:
            # Browsers state the ASCII form; a configuration may have the other.
            host = found["host"].encode("idna").decode("ascii").lower()
        except UnicodeError:
            return None
    port = int(found["port"]) if found["port"] else _DEFAULT_PORTS.get(scheme)
    if port is not None and not 0 < port < 65536:
        return None
    if port is None or port == _DEFAULT_PORTS.get(scheme):
        return f"{scheme}://{host}"
    return f"{scheme}://{host}:{port}"


@attrs.frozen(slots=True)
class OriginPolicy:
    """Which origins are allowed.

    :ivar allowed: normalized origins; ``"*"`` for all; `None` for the server's own only.
    """

    allowed: frozenset[str] | Literal["*"] | None = None

    @classmethod
    def of(cls, allowed: Iterable[str] | Literal["*"] | None) -> OriginPolicy:
        """The policy of a configuration.

        :param allowed: origins, of which one may be ``"*"``; or ``"*"`` itself; or `None`.
        :raises ValueError: names the entry that is no origin.
        """
        if allowed is None or allowed == "*":
            return cls(None if allowed is None else "*")
        if isinstance(allowed, str):
            raise ValueError(f"allowed origins must be a list, not {allowed!r}")
        normalized = set()
        for entry in allowed:
            if entry == "*":
                return cls("*")
            one = normalize_origin(entry) if isinstance(entry, str) else None
            if one is None:
                raise ValueError(f"{entry!r} is no origin, such as https://app.example.com")
            normalized.add(one)
        return cls(frozenset(normalized))

    def permits(self, origin: str | None, own: str | None) -> bool:
        """Whether a page of `origin` may use a server that it reached as `own`.

        :param origin: the Origin header, or `None` where there is none.  A request
            without one comes from no page of another origin, so it is permitted;
            who wants it refused where a list is given looks at `allowed`.
        :param own: the server's own origin as the client sees it, or `None` when unknown.
        """
        if origin is None or self.allowed == "*":
            return True
        stated = normalize_origin(origin)
        if stated is None:
            return False
        if own is not None and stated == normalize_origin(own):
            return True
        return self.allowed is not None and stated in self.allowed
