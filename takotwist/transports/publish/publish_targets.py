"""Where is published to, found without reading a whole request.

A server with thousands of topics is published to at thousands of targets by the
same few programs.  Rule: only a plain target is taken, and it is read by the very
functions that read it on the whole way; everything odd or wrong goes there, where
it is said what is wrong.
"""

from __future__ import annotations

import re
from collections import OrderedDict

import attrs

from takotwist.core.channel import RESERVED_QUERY_KEYS, is_channel_name
from takotwist.errors import Refusal
from takotwist.flow.authorize import Asked, Authorizing
from takotwist.transports.request import read_fields

#: Targets that are remembered, and the longest of them, in bytes.
MAX_TARGETS, MAX_TARGET = 8192, 512

_PLAIN = re.compile(rb"/[!-~]*")


@attrs.define(slots=True)
class PublishTargets:
    """What targets ask for; the one longest unused is forgotten first."""

    _authorizing: Authorizing
    _known: OrderedDict[bytes, Asked] = attrs.field(factory=OrderedDict, init=False)
    _bases: set[bytes] = attrs.field(factory=set, init=False)

    def learn(self, path: bytes, channel: str) -> None:
        """Something was published to `channel` at `path`: so channels are below that."""
        base, name = path[: -len(channel)], path[-len(channel) :]
        if name == channel.encode() and base.endswith(b"/"):
            self._bases.add(base)

    def get(self, target: bytes) -> Asked | None:
        """What is asked for at `target`, path and query; `None` where the whole way must tell."""
        asked = self._known.get(target)
        if asked is not None:
            if self._authorizing.current(asked.definition):
                self._known.move_to_end(target)
                return asked
            # Definitions were read anew.
            del self._known[target]
        try:
            asked = self._read(target)
        except Refusal:
            return None
        if asked is not None and len(target) <= MAX_TARGET:
            self._known[target] = asked
            if len(self._known) > MAX_TARGETS:
                self._known.popitem(last=False)
        return asked

    def _read(self, target: bytes) -> Asked | None:
        """:raises Refusal: it is wrong."""
        path = target.partition(b"?")[0]
        for base in self._bases:
            if path.startswith(base):
                channel = path[len(base) :].decode("latin-1")
                break
        else:
            return None
        if not is_channel_name(channel) or _PLAIN.fullmatch(target) is None:
            return None
        params: dict[str, list[str]] = {}
        for name, value in read_fields(target):
            if name in RESERVED_QUERY_KEYS:
                return None
            params.setdefault(name, []).append(value)
        definition = self._authorizing.registry.get(channel).definition
        return self._authorizing.bind_query(definition, params)

    def __len__(self) -> int:
        return len(self._known)
