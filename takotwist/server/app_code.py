"""The definitions of an app in this process, as the configuration names them.

Rule: what has no place of its own, such as a folder that is not there, has that of the key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from takotwist.app.discovery import Discovered, discover
from takotwist.errors import DefinitionError
from takotwist.live.functions.function import Function, discover_functions
from takotwist.server.config import Config


def read_channels(config: Config, *, again: bool = False) -> Discovered:
    """The channels of ``app.channels``; none where it is not set.

    :param again: read the files anew.
    :raises DefinitionError: one cannot be used.
    """
    source = config.app.channels
    with _placed(config, "app.channels"):
        return discover(source, again=again) if source is not None else Discovered(())


def read_functions(config: Config, *, again: bool = False) -> Mapping[str, Function[..., object]]:
    """The functions of ``app.functions``, by name; see `read_channels`.

    :raises DefinitionError: one cannot be used.
    """
    source = config.app.functions
    with _placed(config, "app.functions"):
        return discover_functions(source, again=again) if source is not None else {}


@contextmanager
def _placed(config: Config, key: str) -> Iterator[None]:
    try:
        yield
    except DefinitionError as bad:
        if bad.place is not None:
            raise
        source = config.sources.get(key)
        place = f"{source}: {key}" if source else key
        raise DefinitionError(bad.reason, place=place) from bad
