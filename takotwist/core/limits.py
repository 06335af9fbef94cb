"""Limits on what is open and on how fast it comes, with bounded tables.

A bound may change while the server runs, so none is kept here: it is an argument, or is
read from the settings where it is needed.  Rule: a key that holds nothing and whose bucket
is full again is not in a table.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network
from typing import Protocol, TypeVar

import attrs

from takotwist.errors import Overloaded, RateLimited

Bounds = TypeVar("Bounds", covariant=True)


class LimitSettings(Protocol[Bounds]):
    """The settings of the server, as far as a part reads its bounds from them."""

    @property
    def limits(self) -> Bounds:
        """The bounds that hold now; another object after each change."""
        ...


class ConnectionBounds(Protocol):
    """Bounds of connections, named and explained in the configuration."""

    @property
    def max_connections(self) -> int: ...
    @property
    def max_connections_per_address(self) -> int: ...
    @property
    def max_connections_per_subject(self) -> int: ...
    @property
    def connect_rate(self) -> float: ...
    @property
    def connect_burst(self) -> int: ...


class NameBounds(Protocol):
    """Bounds of the names of topics, named and explained in the configuration."""

    @property
    def max_subscriptions(self) -> int: ...
    @property
    def max_topic_bytes_total(self) -> int: ...
    @property
    def max_topic_bytes_per_connection(self) -> int: ...


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """The network that stands for a client in limits by address.

    Whoever has one address of IPv6 has all of its /64 (RFC 6177), so these are one.
    """
    if ":" not in address:
        return address
    try:
        whole = IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if whole.ipv4_mapped is not None:
        return str(whole.ipv4_mapped)
    return str(IPv6Network((whole, 64), strict=False))


@attrs.define(slots=True)
class Rate:
    """A token bucket for each key.

    :ivar keys: most keys remembered; the one longest unused is forgotten first.
    """

    keys: int = 10_000
    _buckets: OrderedDict[str, tuple[float, float]] = attrs.field(factory=OrderedDict, init=False)

    def take(
        self, key: str, now: float, per_second: float, burst: float, tokens: float = 1.0
    ) -> None:
        """Take tokens of `key`.

        :param per_second: tokens that come back each second; 0 switches the limit off.
        :param burst: tokens at most.
        :raises RateLimited: says after how many seconds it would work.
        """
        if per_second <= 0:
            return
        level, since = self._buckets.pop(key, (burst, now))
        level = min(burst, level + max(0.0, now - since) * per_second)
        # A single taking larger than the burst must be possible from a full bucket.
        needed = min(tokens, burst)
        if level < needed:
            self._buckets[key] = (level, now)
            raise RateLimited(retry_after=(needed - level) / per_second)
        self._buckets[key] = (level - tokens, now)
        while len(self._buckets) > self.keys:
            self._buckets.popitem(last=False)


@attrs.define(slots=True)
class Concurrency:
    """Number of connections that are open at once, by key."""

    _open: dict[str, int] = attrs.field(factory=dict, init=False)

    def enter(self, key: str, most: int) -> None:
        """Count one more of `key`.

        :param most: for one key; 0 switches the limit off.
        :raises RateLimited: it has as many as it may.
        """
        count = self._open.get(key, 0)
        if most and count >= most:
            raise RateLimited("Too many connections.")
        self._open[key] = count + 1

    def leave(self, key: str) -> None:
        """One of `key` is gone."""
        count = self._open.get(key, 0) - 1
        if count > 0:
            self._open[key] = count
        else:
            self._open.pop(key, None)

    def __len__(self) -> int:
        return len(self._open)


@attrs.define(slots=True)
class ConnectionLimits:
    """Limits on connections: in all, by address, by subject.

    :ivar open: connections in all.
    :ivar by_address: those of one peer address; by_subject: of one subject.
    :ivar rate: new connections of one address.
    """

    _settings: LimitSettings[ConnectionBounds]
    by_address: Concurrency = attrs.field(factory=Concurrency, init=False)
    by_subject: Concurrency = attrs.field(factory=Concurrency, init=False)
    rate: Rate = attrs.field(factory=Rate, init=False)
    open: int = attrs.field(default=0, init=False)

    def enter(self, address: str, now: float) -> None:
        """Take a place.

        :param address: empty for a peer that has none, such as one on a Unix socket.
        :raises Overloaded: the server is full. :raises RateLimited: this address is.
        """
        bounds = self._settings.limits
        if self.open >= bounds.max_connections:
            raise Overloaded("The server has as many connections as it takes.")
        if address:
            network = network_of(address)
            self.rate.take(network, now, bounds.connect_rate, bounds.connect_burst)
            self.by_address.enter(network, bounds.max_connections_per_address)
        self.open += 1

    def leave(self, address: str) -> None:
        """One connection of `address` is gone."""
        self.open -= 1
        if address:
            self.by_address.leave(network_of(address))

    def enter_subject(self, subject: str) -> None:
        """Count one more connection of `subject`.

        :raises RateLimited: it has as many as it may.
        """
        self.by_subject.enter(subject, self._settings.limits.max_connections_per_subject)

    def leave_subject(self, subject: str) -> None:
        """One connection of `subject` is gone."""
        self.by_subject.leave(subject)


@attrs.define(slots=True)
class TopicNames:
    """The names of the topics that connections follow, or publish to: how many, how large.

    A name is the client's own choice wherever a param is free.

    :ivar count: names in all; `bytes`: of all of them together.
    """

    _settings: LimitSettings[NameBounds]
    count: int = attrs.field(default=0, init=False)
    bytes: int = attrs.field(default=0, init=False)

    def enter(self, size: int, held: int) -> None:
        """Hold a name of `size` bytes more.

        :param held: bytes of the names that its connection holds already.
        :raises RateLimited: it is too much for the connection. :raises Overloaded: for all.
        """
        bounds = self._settings.limits
        of_connection = bounds.max_topic_bytes_per_connection
        if held + size > of_connection:
            raise RateLimited(f"The names of a connection's topics may have {of_connection} bytes.")
        full = self.count >= bounds.max_subscriptions
        if full or self.bytes + size > bounds.max_topic_bytes_total:
            raise Overloaded("The server holds as many topics of connections as it takes.")
        self.count += 1
        self.bytes += size

    def has_plenty(self, size: int, held: int) -> bool:
        """Is there room for a name that is only remembered?  It may use half of the room."""
        bounds = self._settings.limits
        return (
            2 * (held + size) <= bounds.max_topic_bytes_per_connection
            and 2 * self.count < bounds.max_subscriptions
            and 2 * (self.bytes + size) <= bounds.max_topic_bytes_total
        )

    def leave(self, size: int) -> None:
        """One of `size` bytes is held no longer."""
        self.count -= 1
        self.bytes -= size
