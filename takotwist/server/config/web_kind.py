"""Types of value from the web: URLs, origins, networks, endpoints, hosts, tokens.

Rule: what passes here is used as it is; nobody behind parses or trims again.
"""

from __future__ import annotations

import os
import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import attrs

from takotwist.server.config.endpoint_text import EndpointText, UdpAddress
from takotwist.server.config.kind import Kind, Text, Unfit
from takotwist.tls.certificate import DOMAINS, as_address, is_private

#: A token or publish key goes into a header, so: visible ASCII, no space (RFC 9110, section 5.5).
TOKEN = Text(r"[\x21-\x7e]+", "visible ASCII characters without spaces")


@attrs.frozen(slots=True)
class Endpoint(Kind):
    """A Twisted endpoint string; a relative socket path becomes absolute."""

    word = "endpoint string"

    @property
    def allowed(self) -> str:
        return 'an endpoint string, such as "tcp:8080"'

    def read(self, value: object, folder: Path) -> str:
        if not isinstance(value, str):
            raise self.refuse(value)
        try:
            return str(EndpointText.parse(value).within(folder))
        except ValueError as bad:
            raise Unfit(f"is {value!r}, which {bad}") from None


@attrs.frozen(slots=True)
class UdpEndpoint(Kind):
    """A UDP port, written as endpoint strings are."""

    word = "UDP port"

    @property
    def allowed(self) -> str:
        return 'a UDP port, such as "udp:8443" or "udp:8443:interface=192.0.2.1"'

    def read(self, value: object, folder: Path) -> str:
        if not isinstance(value, str):
            raise self.refuse(value)
        try:
            return str(UdpAddress.parse(value))
        except ValueError as bad:
            raise Unfit(f"is {value!r}, which {bad}") from None


@attrs.frozen(slots=True)
class HttpUrl(Kind):
    """Address of an HTTP server: scheme, host, port, perhaps a path that goes before ours."""

    word = "URL"

    @property
    def allowed(self) -> str:
        return (
            'an http or https URL without user, query or fragment, such as "http://127.0.0.1:3000",'
            ' or a Unix socket, such as "unix:/run/app.sock"'
        )

    def read(self, value: object, folder: Path) -> str:
        if isinstance(value, str) and re.fullmatch(r"unix:[^\x00?#]+", value):
            return f"unix:{folder / Path(value.removeprefix('unix:')).expanduser()}"
        if isinstance(value, str) and re.fullmatch(r"https?://[\x21-\x7e]+", value):
            try:
                parts = urlsplit(value)
                usable = parts.hostname and (parts.port is None or parts.port > 0)
            except ValueError:
                raise self.refuse(value) from None
            if usable and not ("@" in parts.netloc or parts.query or parts.fragment):
                return value.rstrip("/")
        # What stands before an @ may be a password.
        raise self.refuse(re.sub(r"//[^/]*@", "//...@", value) if isinstance(value, str) else value)


@attrs.frozen(slots=True)
class Origin(Kind):
    """An origin as a browser sends it (RFC 6454, section 6.2), or ``*``."""

    word = "origin"

    @property
    def allowed(self) -> str:
        return 'an origin without a path, such as "https://app.example.com", or "*"'

    def read(self, value: object, folder: Path) -> str:
        if value == "*":
            return "*"
        pattern = r"[a-z][a-z0-9+.-]*://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?"
        if isinstance(value, str) and re.fullmatch(pattern, value, re.IGNORECASE):
            origin = value.lower()
            # A browser leaves the scheme's own port out, so with it nothing would ever match.
            for scheme, port in (("https", ":443"), ("http", ":80")):
                if origin.startswith(f"{scheme}://") and origin.endswith(port):
                    return origin[: -len(port)]
            return origin
        raise self.refuse(value)


@attrs.frozen(slots=True)
class Host(Kind):
    """A host as a request names it: a name, all names below one, an address, or ``*``."""

    word = "host"

    @property
    def allowed(self) -> str:
        return (
            'a name or address without a port, such as "chat.example.com", "*.example.com" for'
            ' all names below it, or "*"'
        )

    def read(self, value: object, folder: Path) -> str:
        if isinstance(value, str):
            host = value.strip("[]").lower()
            label = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
            if as_address(host) is not None or re.fullmatch(
                rf"\*|(\*\.)?{label}(\.{label})*", host
            ):
                return host
        raise self.refuse(value)


@attrs.frozen(slots=True)
class HeaderName(Kind):
    """The name of a field of a request, in lower case."""

    word = "header name"

    @property
    def allowed(self) -> str:
        return 'the name of a header, such as "x-app-version"'

    def read(self, value: object, folder: Path) -> str:
        if isinstance(value, str) and re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}", value):
            return value.lower()
        raise self.refuse(value)


@attrs.frozen(slots=True)
class Network(Kind):
    """An address or a network of addresses."""

    word = "network"

    @property
    def allowed(self) -> str:
        return 'an address or network, such as "127.0.0.1" or "10.0.0.0/8"'

    def read(self, value: object, folder: Path) -> IPv4Network | IPv6Network:
        if isinstance(value, str):
            try:
                return ip_network(value, strict=False)
            except ValueError:
                pass
        raise self.refuse(value)


@attrs.frozen(slots=True)
class Proxy(Kind):
    """Address of a proxy: an address, a network, or the other end of a Unix socket."""

    word = "proxy"

    @property
    def allowed(self) -> str:
        return f'{Network().allowed}, or "unix" for whoever connects to a Unix socket'

    def read(self, value: object, folder: Path) -> IPv4Network | IPv6Network | Literal["unix"]:
        return "unix" if value == "unix" else Network().read(value, folder)


@attrs.frozen(slots=True)
class UrlPath(Kind):
    """A path under which routes are served: begins and ends with a slash."""

    word = "URL path"

    @property
    def allowed(self) -> str:
        return 'a path that begins and ends with "/", such as "/channels/"'

    def read(self, value: object, folder: Path) -> str:
        pattern = r"/((?!\.{1,2}/)[A-Za-z0-9._~@:-]+/)*"
        if isinstance(value, str) and re.fullmatch(pattern, value):
            return value
        raise self.refuse(value)


@attrs.frozen(slots=True)
class PrivateHost(Kind):
    """A host that the development certificate may be for."""

    word = "private host"

    @property
    def allowed(self) -> str:
        domains = ", ".join(f".{domain}" for domain in DOMAINS)
        return f"a name under {domains}, or a private address; a public name needs a certificate"

    def read(self, value: object, folder: Path) -> str:
        label = r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)"
        name = rf"(\*\.)?{label}(\.{label})*"
        if not isinstance(value, str) or len(value) > 253 or not is_private(value):
            raise self.refuse(value)
        if as_address(value) is None and not re.fullmatch(name, value):
            raise self.refuse(value)
        return value.lower()


@attrs.frozen(slots=True)
class DomainName(Kind):
    """A name that an authority certifies: no wildcard, no address, no single label."""

    word = "domain name"

    @property
    def allowed(self) -> str:
        return 'a domain name, such as "chat.example.com"; wildcards need another way (DNS)'

    def read(self, value: object, folder: Path) -> str:
        label = r"(?!-)[a-z0-9-]{1,63}(?<!-)"
        if isinstance(value, str) and len(value) <= 253 and as_address(value) is None:
            name = value.lower()
            if re.fullmatch(rf"{label}(\.{label})+", name):
                return name
        raise self.refuse(value)


@attrs.frozen(slots=True)
class Definitions(Kind):
    """Place of channel definitions: a folder, one file, or a dotted module."""

    word = "folder or module"

    @property
    def allowed(self) -> str:
        return 'a folder or .py file that exists, or a dotted module such as "myapp.channels"'

    def read(self, value: object, folder: Path) -> Path | str:
        if isinstance(value, str) and value:
            place = folder / Path(value).expanduser()
            if os.path.isdir(place) or (place.suffix == ".py" and os.path.isfile(place)):
                return place
            if all(part.isidentifier() for part in value.split(".")):
                return value
        raise self.refuse(value)


class Pages(Kind):
    """An app's own pages: a folder of files, or an object in a module."""

    word = "folder or module:name"

    @property
    def allowed(self) -> str:
        return 'a folder that exists, or module:name such as "shop.web:site"'

    def read(self, value: object, folder: Path) -> Path | str:
        if isinstance(value, str) and value:
            place = folder / Path(value).expanduser()
            if os.path.isdir(place):
                return place
            module, colon, name = value.partition(":")
            if colon and name.isidentifier() and all(map(str.isidentifier, module.split("."))):
                return value
        raise self.refuse(value)
