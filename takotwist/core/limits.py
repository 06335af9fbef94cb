"""Limits on what is open and on how fast it comes, with bounded tables.

Rule: a key that holds nothing and whose bucket is full again is not in a table.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network

import attrs

from takotwist.errors import Overloaded, RateLimited, Refusal


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

    :ivar per_second: tokens that come back each second; 0 switches the limit off.
    :ivar burst: tokens at most.
    :ivar keys: most keys remembered; the one longest unused is forgotten first.
    """

    per_second: float
    burst: float
    keys: int = 10_000
    _buckets: OrderedDict[str, tuple[float, float]] = attrs.field(factory=OrderedDict, init=False)

    def change(self, per_second: float, burst: float) -> None:
        """Limit otherwise from now on."""
        self.per_second, self.burst = per_second, burst

    def take(self, key: str, now: float, tokens: float = 1.0) -> None:
        """Take tokens of `key`.

        :raises RateLimited: says after how many seconds it would work.
        """
        if self.per_second <= 0:
            return
        level, since = self._buckets.pop(key, (self.burst, now))
        level = min(self.burst, level + max(0.0, now - since) * self.per_second)
        # A single taking larger than the burst must be possible from a full bucket.
        needed = min(tokens, self.burst)
        if level < needed:
            self._buckets[key] = (level, now)
            raise RateLimited(retry_after=(needed - level) / self.per_second)
        self._buckets[key] = (level - tokens, now)
        while len(self._buckets) > self.keys:
            self._buckets.popitem(last=False)


@attrs.define(slots=True)
class Concurrency:
    """A bound on what is open at once, by key.

    :ivar most: for one key; 0 switches the limit off.
    :ivar refusal: what one too many is told.
    """

    most: int
    refusal: type[Refusal] = RateLimited
    sentence: str = "Too many connections."
    _open: dict[str, int] = attrs.field(factory=dict, init=False)

    def enter(self, key: str) -> None:
        """:raises Refusal: `key` has as many as it may."""
        count = self._open.get(key, 0)
        if self.most and count >= self.most:
            raise self.refusal(self.sentence)
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

    :ivar most: connections in all.
    :ivar by_address: for one peer address; by_subject: for one subject.
    :ivar rate: new connections for one address.
    """

    most: int
    by_address: Concurrency
    by_subject: Concurrency
    rate: Rate
    open: int = attrs.field(default=0, init=False)

    def enter(self, address: str, now: float) -> None:
        """Take a place.

        :param address: empty for a peer that has none, such as one on a Unix socket.
        :raises Overloaded: the server is full. :raises RateLimited: this address is.
        """
        if self.open >= self.most:
            raise Overloaded("The server has as many connections as it takes.")
        if address:
            self.rate.take(network_of(address), now)
            self.by_address.enter(network_of(address))
        self.open += 1

    def leave(self, address: str) -> None:
        """One connection of `address` is gone."""
        self.open -= 1
        if address:
            self.by_address.leave(network_of(address))


@attrs.define(slots=True)
class TopicNames:
    """The names of the topics that connections follow, or publish to: how many, how large.

    A name is the client's own choice wherever a param is free.

    :ivar most: names in all; `most_bytes`: of all of them together.
    :ivar bytes_of_connection: of those of one connection.
    """

    most: int
    most_bytes: int
    bytes_of_connection: int
    count: int = attrs.field(default=0, init=False)
    bytes: int = attrs.field(default=0, init=False)

    def enter(self, size: int, held: int) -> None:
        """Hold a name of `size` bytes more.

        :param held: bytes of the names that its connection holds already.
        :raises RateLimited: it is too much for the connection. :raises Overloaded: for all.
        """
        if held + size > self.bytes_of_connection:
            raise RateLimited(
                f"The names of a connection's topics may have {self.bytes_of_connection} bytes."
            )
        if self.count >= self.most or self.bytes + size > self.most_bytes:
            raise Overloaded("The server holds as many topics of connections as it takes.")
        self.count += 1
        self.bytes += size

    def has_plenty(self, size: int, held: int) -> bool:
        """Is there room for a name that is only remembered?  It may use half of the room."""
        return (
            2 * (held + size) <= self.bytes_of_connection
            and 2 * self.count < self.most
            and 2 * (self.bytes + size) <= self.most_bytes
        )

    def leave(self, size: int) -> None:
        """One of `size` bytes is held no longer."""
        self.count -= 1
        self.bytes -= size
