"""Address of the engine: a libpq URL, as the connections that may be tried in turn.

libpq looks names up while everything else waits, and gives a host that is silent no time of its
own when it is driven from outside.  So names are looked up here, by the reactor, and each
address is an attempt with its own timeout.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from functools import partial

import attrs
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorPluggableNameResolver, IResolutionReceiver
from zope.interface import implementer

from takotwist.errors import ConfigError

#: Most addresses of one name that are tried.
MOST_ADDRESSES = 8

_LITERAL = re.compile(r"[0-9.]+|[0-9a-fA-F:.]*:[0-9a-fA-F:.%\w]*")


@attrs.frozen(slots=True)
class Address:
    """The engine's place.

    :ivar name: for logs: hosts and database, without user and password.
    :ivar secret: the password, so that it can be kept out of texts.
    """

    name: str
    _said: dict[str, str] = attrs.field(repr=False)
    secret: str = attrs.field(repr=False)

    @classmethod
    def of(cls, url: str) -> Address:
        """Read `url`, with every key that libpq knows.

        :raises ConfigError: libpq cannot read it.
        """
        try:
            said = {key: str(value) for key, value in conninfo_to_dict(url).items() if value}
        except psycopg.Error:
            # Not libpq's words: they repeat what they could not read, password and all.
            raise ConfigError(
                "is no address of PostgreSQL: write postgresql://host:5432/database, with user and"
                " password before the host, their special characters percent-encoded, and only"
                " keys that libpq knows",
                key="replay.url",
            ) from None
        hosts = said.get("host") or said.get("hostaddr") or os.environ.get("PGHOST", "")
        name = f"{hosts or 'localhost'}/{said.get('dbname', '')}"
        said.setdefault("application_name", "takotwist")
        # Over what the URL says: our statements are UTF-8.
        said["client_encoding"] = "UTF8"
        if "," in hosts:
            said.setdefault("target_session_attrs", "read-write")
        return cls(name, said, said.get("password") or os.environ.get("PGPASSWORD", ""))

    def attempts(self, reactor: object, random: Callable[[], float]) -> Deferred[list[str]]:
        """Connection strings of libpq, each with one address, in the order to try them."""
        places = self._places()
        if self._said.get("load_balance_hosts") == "random":
            places.sort(key=lambda _: random())
        answer: Deferred[list[str]] = Deferred()
        found: list[list[str]] = [[] for _ in places]
        waiting = len(places)

        def one(at: int, addresses: Sequence[str | None]) -> None:
            nonlocal waiting
            host, port = places[at]
            found[at] = [self._string(host, address, port) for address in addresses]
            waiting -= 1
            if not waiting:
                answer.callback([string for strings in found for string in strings])

        for at, (host, _) in enumerate(places):
            _resolve(host, reactor).addCallback(partial(one, at))
        return answer

    def _places(self) -> list[tuple[str | None, str | None]]:
        if self._said.get("hostaddr"):
            return [(None, None)]
        hosts = self._said.get("host") or os.environ.get("PGHOST") or ""
        ports = (self._said.get("port") or os.environ.get("PGPORT") or "").split(",")
        names = hosts.split(",")
        if len(ports) == 1:
            ports *= len(names)
        if not hosts or len(ports) != len(names):
            # The default of libpq, a service file, or its own words about the numbers.
            return [(None, None)]
        return [(name or None, port or None) for name, port in zip(names, ports, strict=True)]

    def _string(self, host: str | None, address: str | None, port: str | None) -> str:
        said: dict[str, str] = dict(self._said)
        if host is not None:
            said["host"] = host
        if port is not None:
            said["port"] = port
        if address is not None:
            said["hostaddr"] = address
        string: str = make_conninfo("", **said)
        return string


@implementer(IResolutionReceiver)
class _Addresses:
    """Collects what a lookup finds."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.done: Deferred[list[str | None]] = Deferred()

    def resolutionBegan(self, resolution: object) -> None:
        """Nothing to keep."""

    def addressResolved(self, address: object) -> None:
        """One more."""
        if isinstance(address, IPv4Address | IPv6Address) and address.host not in self.found:
            self.found.append(address.host)

    def resolutionComplete(self) -> None:
        """Without any, libpq says so itself."""
        self.done.callback([*self.found[:MOST_ADDRESSES]] or [None])


def _resolve(host: str | None, reactor: object) -> Deferred[list[str | None]]:
    if host is None or host.startswith(("/", "@")) or _LITERAL.fullmatch(host):
        return succeed([None])
    if not IReactorPluggableNameResolver.providedBy(reactor):
        return succeed([None])
    receiver = _Addresses()
    reactor.nameResolver.resolveHostName(receiver, host)
    return receiver.done
