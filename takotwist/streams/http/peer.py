"""Client address and own origin behind proxies, and the policy of allowed origins.

Pure but for the reading of a request.  Rules: a forwarding header is believed exactly as
far as the addresses that handed it on are trusted, so a stranger's header changes nothing.
Both sides of a comparison of origins (RFC 6454) are normalized here, and what cannot be
normalized (``null``, user info, a bad port) matches nothing, not even itself.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import Literal

import attrs

from takotwist.streams.http.interface import ReadableRequest

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
    """Proxies whose forwarding headers are believed.

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
        """True if a proxy is at `address`; `None` is a Unix socket."""
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
        """True if the client speaks TLS, to us or to the proxy."""
        return self.origin is not None and self.origin.startswith("https:")


def _said(values: Sequence[str], hops: int) -> str | None:
    """The word of the farthest of the proxies that are trusted.

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
    """The client behind whatever proxies are trusted.

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


def _lines(request: ReadableRequest, name: bytes) -> list[str]:
    values = request.requestHeaders.getRawHeaders(name) or ()
    return [value.decode("latin-1") for value in values]


def _host(request: ReadableRequest) -> str | None:
    # HTTP/2 has it as an authority, and some say it as a field too.
    hosts = set(_lines(request, b"host"))
    return hosts.pop() if len(hosts) == 1 else None


def asked_host(request: ReadableRequest, trusted: TrustedProxies = NO_PROXIES) -> str | None:
    """The Host that the client behind a twisted.web request asked for, as in `resolve_peer`."""
    address, forwarded = getattr(request.client, "host", None), None
    if trusted.trusts(address):
        hosts, hops = _lines(request, b"x-forwarded-host"), 1
        if any("," in line for line in hosts) or len(hosts) > 1:
            hops = _follow(address, _lines(request, b"x-forwarded-for"), trusted)[1]
        forwarded = _said(hosts, hops)
    return forwarded or _host(request)


def peer_of(request: ReadableRequest, trusted: TrustedProxies = NO_PROXIES) -> Peer:
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
    """The origins that are allowed.

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
        """True if a page of `origin` may use a server that it reached as `own`.

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
