"""Endpoint strings such as ``tcp:8080``, taken apart and put together again.

Twisted reads them too, but only with a reactor, only when listening, and
without saying which port is out of range; the configuration is checked before
there is any of that.  Here relative socket paths become absolute as well.
UDP ports are written in the same form (``udp:443:interface=192.0.2.1``), which Twisted's own
endpoint strings lack.

Rules: the text of an endpoint is read by Twisted as the same endpoint; a UDP address that can
be read can be given to `IReactorUDP.listenUDP` as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path

import attrs

from takotwist.server.config.problems import did_you_mean

KNOWN = ("haproxy", "systemd", "tcp", "tcp4", "tcp6", "unix")

#: sun_path of Linux is 108 bytes, the last of them a zero (unix(7)).
LONGEST_SOCKET_PATH = 107

_OPTIONS = {
    "tcp": {"port", "interface", "backlog"},
    "unix": {"address", "mode", "backlog", "lockfile"},
    "systemd": {"domain", "index", "name"},
}

#: Values that may stand without their names: the port and the interface, or the path.
_BY_PLACE = {"tcp": 2, "tcp6": 2, "unix": 1, "systemd": 0}


@attrs.frozen(slots=True)
class EndpointText:
    """One endpoint string.

    :ivar kind: the word before the first colon.
    :ivar arguments: values without a name, in order.
    :ivar options: what has one.
    :ivar proxied: whether ``haproxy:`` stands before it (the PROXY protocol).
    """

    kind: str
    arguments: tuple[str, ...] = ()
    options: Mapping[str, str] = attrs.field(factory=dict)
    proxied: bool = False

    @classmethod
    def parse(cls, text: str) -> EndpointText:
        """Read and check one endpoint string.

        Kinds that are not ours to know (a plugin of Twisted's) pass unchecked.

        :raises ValueError: says what is wrong, as it follows the endpoint's name.
        """
        parts = _split(text, ":")
        proxied = parts[0] == "haproxy" and len(parts) > 1
        kind, *rest = parts[1:] if proxied else parts
        arguments: list[str] = []
        options: dict[str, str] = {}
        for part in rest:
            name, *value = _split(part, "=")
            if value:
                options[_unquoted(name)] = _unquoted("=".join(value))
            else:
                arguments.append(_unquoted(part))
        endpoint = cls("tcp" if kind == "tcp4" else kind, tuple(arguments), options, proxied)
        endpoint._check(text)
        return endpoint

    def __str__(self) -> str:
        parts = [_quoted(one) for one in self.arguments]
        parts += [f"{name}={_quoted(value)}" for name, value in self.options.items()]
        return ":".join([*(["haproxy"] if self.proxied else []), self.kind, *parts])

    @property
    def path(self) -> str | None:
        """The path of a Unix socket; `None` for every other kind."""
        if self.kind != "unix":
            return None
        return self.arguments[0] if self.arguments else self.options.get("address", "")

    @property
    def port(self) -> int | None:
        """The port of a TCP endpoint, 0 where the system chooses; `None` for other kinds."""
        if self.kind not in ("tcp", "tcp6"):
            return None
        return int(self.arguments[0] if self.arguments else self.options.get("port", "0"))

    @property
    def interface(self) -> str | None:
        """The address of a TCP endpoint, empty where it is every one; `None` for other kinds."""
        if self.kind not in ("tcp", "tcp6"):
            return None
        return self.arguments[1] if len(self.arguments) > 1 else self.options.get("interface", "")

    def at(self, path: str) -> EndpointText:
        """This Unix endpoint with another path."""
        named = {name: value for name, value in self.options.items() if name != "address"}
        return attrs.evolve(self, arguments=(path, *self.arguments[1:]), options=named)

    def within(self, folder: Path) -> EndpointText:
        """A Unix endpoint whose relative path is one in `folder`; others unchanged."""
        return self if self.path is None else self.at(str(folder / Path(self.path).expanduser()))

    def with_option(self, name: str, value: str) -> EndpointText:
        """This endpoint with an option that it does not have yet; else unchanged."""
        return (
            self
            if name in self.options
            else attrs.evolve(self, options={**self.options, name: value})
        )

    def _check(self, text: str) -> None:
        if self.kind == "ssl":
            raise ValueError("cannot be ssl: put the plain endpoint under [tls] listen")
        if not re.fullmatch(r"[a-z][a-z0-9+-]*", self.kind) or not (self.arguments or self.options):
            hint = text.rsplit(":", 1)[-1]
            example = f"tcp:{hint}" if hint.isdigit() else "tcp:8080"
            raise ValueError(f'must be an endpoint string, such as "{example}"')
        if self.kind not in KNOWN and (hint := did_you_mean(self.kind, KNOWN)):
            raise ValueError(f"has the unknown kind {self.kind!r}{hint}")
        if len(self.arguments) > _BY_PLACE.get(self.kind, 99):
            raise ValueError("has too many values without a name: write them as name=value")
        known = _OPTIONS.get("tcp" if self.kind == "tcp6" else self.kind)
        for name in self.options:
            if known is not None and name not in known:
                raise ValueError(
                    f"has the unknown option {name!r}{did_you_mean(name, known)};"
                    f" {self.kind} has {', '.join(sorted(known))}"
                )
        getattr(self, f"_check_{self.kind}", lambda: None)()

    def _check_tcp(self) -> None:
        port = self.arguments[0] if self.arguments else self.options.get("port", "")
        if not (port.isascii() and port.isdigit() and int(port) <= 65535):
            raise ValueError(f"must have a port from 0 to 65535, not {port!r}")
        interface = self.interface
        if interface:
            try:
                address = ip_address(interface.partition("%")[0])
            except ValueError:
                raise ValueError(
                    f"must have an IP address as interface, not {interface!r};"
                    " a colon inside one is written \\:"
                ) from None
            if self.kind == "tcp6" and address.version != 6:
                raise ValueError("is tcp6 and must have an IPv6 address as interface")

    _check_tcp6 = _check_tcp

    def _check_unix(self) -> None:
        if not self.path:
            raise ValueError("must have a path, such as unix:state/http.sock")
        mode = self.options.get("mode")
        if mode is not None and not re.fullmatch(r"0?[0-7]{3}", mode):
            raise ValueError(f"must have an octal mode such as 660, not {mode!r}")

    def _check_systemd(self) -> None:
        domain = self.options.get("domain")
        if domain not in ("INET", "INET6", "UNIX"):
            raise ValueError("must have domain=INET, domain=INET6 or domain=UNIX")
        if ("index" in self.options) == ("name" in self.options):
            raise ValueError("must have either index=0 (a number) or name=NAME of the socket")
        if not self.options.get("index", "0").isdigit():
            raise ValueError("must have a whole number as index")


def _split(text: str, at: str) -> list[str]:
    """Split at `at` where no backslash stands before it."""
    parts, part, quoted = [], "", False
    for character in text:
        if quoted or character == "\\":
            part += character
            quoted = not quoted
        elif character == at:
            parts.append(part)
            part = ""
        else:
            part += character
    return [*parts, part]


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _quoted(text: str) -> str:
    """Twisted's own `quoteStringArgument` leaves ``=`` alone, which makes a path an option."""
    return re.sub(r"([\\:=])", r"\\\1", text)


@attrs.frozen(slots=True)
class UdpAddress:
    """One UDP port.

    :ivar port: 0 where the system chooses.
    :ivar interface: an IP address; empty for every IPv4 one.
    """

    port: int
    interface: str

    @classmethod
    def parse(cls, text: str) -> UdpAddress:
        """Read and check.

        :raises ValueError: says what is wrong, as it follows the text.
        """
        if not text.startswith("udp:"):
            raise ValueError('must begin with udp:, such as "udp:8443"')
        # A TCP endpoint is written in the same way, but for the one option.
        endpoint = EndpointText.parse("tcp:" + text.removeprefix("udp:"))
        if "backlog" in endpoint.options:
            raise ValueError("has the option 'backlog', which udp has not")
        return cls(endpoint.port or 0, endpoint.interface or "")

    def __str__(self) -> str:
        interface = f":interface={self.interface.replace(':', chr(92) + ':')}"
        return f"udp:{self.port}" + (interface if self.interface else "")
