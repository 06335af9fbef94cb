"""Address of a server, and of a request to it: text as people write it, taken apart once.

Rule: an error about an address never repeats it; it may hold a password, and in its
place a key is given by mistake.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

import attrs

from takotwist.errors import ConfigError

_WANTED = "must be http://host, https://host or unix:/path, such as https://example.com"

_HOST = re.compile(
    r"(?=.{1,253}$)(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?|[0-9A-Fa-f:.]{2,45}"
)


def _wrong(reason: str) -> ConfigError:
    return ConfigError(reason, key="url", source="Publisher")


@attrs.frozen(slots=True)
class Address:
    """One server.

    :ivar host: a name or an IP address; empty for a Unix socket.
    :ivar unix_path: of a Unix socket, or `None`.
    :ivar base_path: the path that the address itself has; empty for a Unix socket.
    :ivar tls: how its certificate is checked; `None` where there is no TLS.
    :ivar ca_file: certificates to trust in place of the system's.
    """

    host: str
    port: int
    unix_path: str | None
    base_path: str
    tls: ssl.SSLContext | None
    ca_file: str | None

    @classmethod
    def of(cls, url: str, ca_file: str | None = None) -> Address:
        """Read an address.

        :param url: ``http://``, ``https://`` or ``unix:/path/of.sock``.
        :raises ConfigError: it or the file cannot be used.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except (ValueError, TypeError, AttributeError):
            raise _wrong(f"{_WANTED}; its host or port cannot be read") from None
        if parts.scheme == "unix":
            return cls("", 0, _socket_path(parts.path, parts.netloc), "", None, None)
        if parts.scheme not in ("http", "https") or not host:
            raise _wrong(_WANTED)
        if parts.query or parts.fragment or "@" in parts.netloc:
            raise _wrong("must hold neither a query, nor a fragment, nor credentials")
        try:
            name = host if host.isascii() else host.encode("idna").decode("ascii")
            path = quote(parts.path, safe="/%:@!$&'()*+,;=~-._")
        except UnicodeError:
            name = path = ""
        if not _HOST.fullmatch(name):
            raise _wrong(f"{_WANTED}; its host is no name of a host")
        tls = None
        if parts.scheme == "https":
            try:
                tls = ssl.create_default_context(cafile=ca_file)
            except (OSError, ValueError, TypeError) as unusable:
                raise ConfigError(f"{unusable}", key="ca_file", source="Publisher") from None
        return cls(name, port or (443 if tls else 80), None, path, tls, ca_file)

    @property
    def server(self) -> str:
        """The server's name, for people."""
        if self.unix_path is not None:
            return f"unix:{self.unix_path}"
        return f"{'https' if self.tls else 'http'}://{self.authority}"

    @property
    def authority(self) -> str:
        """Value of ``Host``."""
        if self.unix_path is not None:
            return "localhost"
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = self.port == (443 if self.tls else 80)
        return host if usual else f"{host}:{self.port}"


def request_bytes(
    address: Address, method: str, target: str, headers: Mapping[str, str], body: bytes
) -> bytes:
    """An HTTP/1.1 request as it goes out.

    :raises ValueError: a header cannot be sent; names it and does not repeat its value.
    """
    lines = [f"{method} {target} HTTP/1.1", f"Host: {address.authority}"]
    for name, value in headers.items():
        if not (value.isascii() and value.isprintable()):
            raise ValueError(f"the header {name} cannot be sent")
        lines.append(f"{name}: {value}")
    if body or method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


def _socket_path(path: str, netloc: str) -> str:
    try:
        usable = bool(path) and not netloc and b"\0" not in path.encode()
    except UnicodeEncodeError:
        usable = False
    if not usable:
        raise _wrong("must be unix:/path of a Unix socket")
    return path
