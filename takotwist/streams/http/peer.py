"""Who is at the other end, where a proxy stands between.

Pure.  Rule: a forwarding header is believed exactly as far as the addresses that
handed it on are trusted; a stranger's header changes nothing.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Any

import attrs

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _address(text: str) -> _Address | None:
    """An address as forwarding headers spell it: bare, bracketed, or with a port."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


@attrs.frozen(slots=True)
class TrustedProxies:
    """Whose forwarding headers are believed.

    :ivar unix: whether peers on a Unix socket are proxies.
    """

    _networks: tuple[_Network, ...] = ()
    unix: bool = False

    @classmethod
    def of(cls, entries: Iterable[str]) -> TrustedProxies:
        """:param entries: addresses, networks (``10.0.0.0/8``), or ``unix``.
        :raises ValueError: names the entry that is none of these.
        """
        networks: list[_Network] = []
        unix = False
        for entry in entries:
            if entry == "unix":
                unix = True
                continue
            try:
                networks.append(ipaddress.ip_network(entry, strict=False))
            except ValueError:
                raise ValueError(f"{entry!r} is no address, no network, and not 'unix'") from None
        return cls(tuple(networks), unix)

    def trusts(self, address: str | None) -> bool:
        """Whether a proxy is at `address`; `None` is a Unix socket."""
        if address is None:
            return self.unix
        if not self._networks:
            return False
        parsed = _address(address)
        return parsed is not None and any(
            parsed.version == network.version and parsed in network for network in self._networks
        )


#: Nobody is believed.
NO_PROXIES = TrustedProxies()


@attrs.frozen(slots=True)
class Peer:
    """The client behind whatever proxies are trusted.

    :ivar address: its IP address, or `None` on a Unix socket without a proxy.
    :ivar origin: the server's own origin as this client reached it
        (``https://example.com``), or `None` where it did not say.
    """

    address: str | None
    origin: str | None

    @property
    def secure(self) -> bool:
        """Whether the client speaks TLS, to us or to the proxy."""
        return self.origin is not None and self.origin.startswith("https:")


def _said(values: Sequence[str], hops: int) -> str | None:
    """What the farthest of the proxies that are trusted has said.

    Some proxies add to what the one before them said, and some put their own in its place.

    :param hops: how many proxies are trusted, counted from us.
    """
    items = [item.strip() for value in values for item in value.split(",")]
    return items[-min(hops, len(items))] or None if items else None


def _follow(
    address: str | None, forwarded_for: Sequence[str], trusted: TrustedProxies
) -> tuple[str | None, int]:
    """The client behind a proxy that is trusted, and how many proxies are, one after the other."""
    hops = [hop for line in forwarded_for for hop in line.split(",")]
    followed = 0
    while hops and trusted.trusts(address):
        parsed = _address(hops.pop())
        if parsed is None:
            # What stands left of nonsense was said by nobody we trust.
            break
        address, followed = str(parsed), followed + 1
    return address, max(1, followed)


def resolve_peer(
    address: str | None,
    *,
    secure: bool,
    host: str | None,
    forwarded_for: Sequence[str] = (),
    forwarded_proto: Sequence[str] = (),
    forwarded_host: Sequence[str] = (),
    trusted: TrustedProxies = NO_PROXIES,
) -> Peer:
    """Who the client is.

    :param address: of the socket's other end; `None` for a Unix socket.
    :param secure: whether that socket speaks TLS.
    :param host: the Host header.
    :param forwarded_for: lines of ``X-Forwarded-For``; likewise the other two.
    """
    if trusted.trusts(address):
        address, hops = _follow(address, forwarded_for, trusted)
        proto = _said(forwarded_proto, hops)
        if proto is not None:
            secure = proto.lower() in ("https", "wss")
        host = _said(forwarded_host, hops) or host
    origin = f"{'https' if secure else 'http'}://{host}" if host else None
    return Peer(address, origin)


def _lines(request: Any, name: bytes) -> list[str]:
    values = request.requestHeaders.getRawHeaders(name) or ()
    return [value.decode("latin-1") for value in values]


def _host(request: Any) -> str | None:
    # HTTP/2 has it as an authority, and some say it as a field too.
    hosts = set(_lines(request, b"host"))
    return hosts.pop() if len(hosts) == 1 else None


def asked_host(request: Any, trusted: TrustedProxies = NO_PROXIES) -> str | None:
    """The Host that the client behind a twisted.web request asked for, as in `resolve_peer`."""
    address, forwarded = getattr(request.client, "host", None), None
    if trusted.trusts(address):
        hosts, hops = _lines(request, b"x-forwarded-host"), 1
        if any("," in line for line in hosts) or len(hosts) > 1:
            hops = _follow(address, _lines(request, b"x-forwarded-for"), trusted)[1]
        forwarded = _said(hosts, hops)
    return forwarded or _host(request)


def peer_of(request: Any, trusted: TrustedProxies = NO_PROXIES) -> Peer:
    """`resolve_peer` of a twisted.web request."""

    def lines(name: bytes) -> list[str]:
        return _lines(request, name)

    host = _host(request)
    address, secure = getattr(request.client, "host", None), request.isSecure()
    if not trusted.trusts(address):
        return resolve_peer(address, secure=secure, host=host)
    return resolve_peer(
        address,
        secure=secure,
        host=host,
        forwarded_for=lines(b"x-forwarded-for"),
        forwarded_proto=lines(b"x-forwarded-proto"),
        forwarded_host=lines(b"x-forwarded-host"),
        trusted=trusted,
    )
