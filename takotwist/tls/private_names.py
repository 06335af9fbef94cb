"""Names and addresses that no public authority would ever certify.

The development CA may sign for these and for nothing else: whoever steals its
key cannot pass for a bank, even in a browser that trusts it.
Rule: one list, for the CA's name constraints and for the configuration's check.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

#: Top labels that are reserved for private use: RFC 6761, RFC 6762, RFC 8375, ICANN's ``internal``,
#: and ``lan``, which home routers hand out.
DOMAINS = ("localhost", "test", "local", "internal", "lan", "home.arpa")

#: Loopback, private and link-local addresses (RFC 1122, 1918, 3927, 4193, 4291).
NETWORKS = tuple(
    ip_network(text)
    for text in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    )
)


def as_address(host: str) -> IPv4Address | IPv6Address | None:
    """`host` as an address, or `None` where it is a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def is_private(host: str) -> bool:
    """Whether the development CA may sign for `host`."""
    address = as_address(host)
    if address is not None:
        return any(address in network for network in NETWORKS)
    name = host.lower().removeprefix("*.")
    return any(name == domain or name.endswith("." + domain) for domain in DOMAINS)
