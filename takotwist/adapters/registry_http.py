"""The definitions of an app elsewhere, read from its registry (protocol, section 9).

Rule: the last registry that could be read stays in force until a whole new one
has been read, so an app that is away or wrong takes no channel down.
"""

from __future__ import annotations

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from takotwist.adapters.app_client import AppClient
from takotwist.codecs.registry_json import read_registry
from takotwist.core.channel import ChannelDefinition, Defined
from takotwist.errors import BodyInvalid

REGISTRY_PATH = "/channels/registry"

#: Most bytes of a registry.
MAX_REGISTRY_BYTES = 16 * 2**20

#: Seconds between two readings that unknown channel names may cause.
UNKNOWN_INTERVAL = 1.0


class HttpRegistry:
    """Reads the registry, and remembers it.

    :param dispatches: whether the app takes its clients' frames; where it does not, they
        are published as they came.
    :ivar defined: as last read; empty before the first time.
    """

    def __init__(self, client: AppClient, clock: IReactorTime, *, dispatches: bool = True) -> None:
        self._client = client
        self._dispatches = dispatches
        self._clock = clock
        self._read_at: float | None = None
        self._reading = False
        self._waiting: list[Deferred[bool]] = []
        self._body = b""
        self.defined: tuple[Defined, ...] = ()

    def reload(self) -> Deferred[bool]:
        """Read it now: at start, on SIGHUP, or when the app asks.

        Whoever asks while it is being read gets the same answer.

        :return: whether it says something else than before.
        :raises AuthUnavailable: it cannot be read; the log has the reason.
        """
        answer: Deferred[bool] = Deferred(self._waiting.remove)
        self._waiting.append(answer)
        if not self._reading:
            self._reading = True
            self._read_at = self._clock.seconds()
            Deferred.fromCoroutine(self._read()).addBoth(self._tell)
        return answer

    def reload_for_unknown(self) -> Deferred[bool]:
        """Read it because a channel is unknown, but not more than once a second.

        A client that asks for made-up names must not make the app work.

        :raises AuthUnavailable: as `reload`.
        """
        now = self._clock.seconds()
        recent = self._read_at is not None and now - self._read_at < UNKNOWN_INTERVAL
        return succeed(False) if recent and not self._reading else self.reload()

    async def _read(self) -> bool:
        answer = await self._client.ask("GET", REGISTRY_PATH, max_answer_bytes=MAX_REGISTRY_BYTES)
        if answer.status != 200:
            raise self._client.unusable(f"{REGISTRY_PATH} answered {answer.status}")
        if answer.body == self._body:
            return False
        try:
            definitions = read_registry(answer.body)
        except BodyInvalid as bad:
            raise self._client.unusable(bad.sentence) from None
        place = f"{self._client.address.url}{REGISTRY_PATH}"
        if not self._dispatches:
            definitions = tuple(map(_forwarding, definitions))
        self.defined = tuple(Defined(one, place, local=False) for one in definitions)
        self._body = answer.body
        return True

    def _tell(self, result: bool | Failure) -> None:
        self._reading = False
        waiting, self._waiting = self._waiting, []
        for answer in waiting:
            answer.callback(result)


def _forwarding(definition: ChannelDefinition) -> ChannelDefinition:
    if not definition.bidirectional:
        return definition
    return attrs.evolve(definition, handlers=frozenset(), forward_unhandled=True)
