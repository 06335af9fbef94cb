"""Names that a server answers to, by the Host that its client states.

A browser may be told that a name of a stranger's is our address (DNS rebinding).  That
stranger's page is then of our own origin, and the Host is all that tells it from ours.
RFC 9112, section 3.2.  Pure.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

import attrs

#: A host and perhaps a port (RFC 3986, sections 3.2.2 and 3.2.3); empty where the target
#: has no authority.  Zones and the IP literals of the future stand in no request.
_FIELD = re.compile(
    rb"(\[[0-9A-Fa-f:.]{2,45}\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(?::[0-9]{0,5})?"
)

#: Names that are of the machine itself wherever they are looked up (RFC 6761, section 6.3).
_LOCALHOST = re.compile(r"(?:[^.]+\.)*localhost")


def is_host_field(value: bytes) -> bool:
    """True if `value` can be that of a Host field."""
    return _FIELD.fullmatch(value) is not None


def host_of(field: str) -> str | None:
    """The host of a Host field: lower case, without port, brackets and the dot of the root.

    :return: empty where the field is; `None` where it is malformed.
    """
    found = _FIELD.fullmatch(field.encode("latin-1", "replace"))
    if found is None:
        return None
    return found[1].decode("ascii").strip("[]").lower().removesuffix(".")


def as_ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that `host` is, where it is one and no name."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def is_loopback(host: str | None) -> bool:
    """True if `host` is an address that only this machine reaches."""
    address = as_ip(host) if host else None
    return address is not None and address.is_loopback


@attrs.frozen(slots=True)
class HostPolicy:
    """Hosts that a request may name, beside localhost and the loopback addresses.

    :ivar names: in lower case; one that begins with a dot stands for all names below it.
    :ivar any_host: whether every host is right.
    :ivar any_address: whether every address is: it is looked up nowhere, so nobody can
        have it rebound.
    """

    names: frozenset[str] = frozenset()
    any_host: bool = False
    any_address: bool = False

    @classmethod
    def of(cls, hosts: Iterable[str], *, any_address: bool = False) -> HostPolicy:
        """The policy of a configuration.

        :param hosts: names and addresses, ``*.example.com`` for all below, ``*`` for all.
        """
        entries = [host.lower().strip("[]").removesuffix(".") for host in hosts]
        names = frozenset(entry.removeprefix("*") for entry in entries)
        return cls(names, any_host="" in names, any_address=any_address)

    def permits(self, field: str | None, reached: str | None) -> bool:
        """True if a request may be served.

        :param field: its Host; a client without one is no browser.
        :param reached: the address that it came to, which is always right; `None` where
            that is not known.
        """
        if self.any_host or not field:
            return True
        host = host_of(field)
        if not host:
            return host is not None
        if host in self.names or _LOCALHOST.fullmatch(host):
            return True
        address = as_ip(host)
        if address is not None:
            return (
                self.any_address
                or address.is_loopback
                or (reached is not None and address == as_ip(reached))
            )
        return any(host.endswith(name) for name in self.names if name.startswith("."))
