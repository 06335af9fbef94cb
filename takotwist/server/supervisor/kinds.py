"""The kinds of processes, and what one of them is told when it is started."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from takotwist.core.json_values import Json, JsonObject
from takotwist.server.config import Config
from takotwist.server.config.config import KEYS

#: What the supervisor holds for all: a process that starts later has them as they were when the
#: supervisor started, whatever the file says by then.
HELD = (
    "state_dir",
    "server.workers",
    "http.listen",
    "tls.listen",
    "http3.listen",
    "private.listen",
    "replay.path",
    "replay.url",
    "replay.schema",
)


#: Of all that processes of one server share by way of the supervisor: `Start` and what it means,
#: the messages, `SharedCounts`, what is sent with a connection, datagrams that are passed on.
#: Any change of it raises it; a process of another one does not start.
VERSION = 1


@attrs.frozen(kw_only=True)
class Kind:
    """One kind of process.

    :ivar name: in the log and in ps.
    :ivar entry: ``module:function`` that makes its service, as `ChildService` says.
    :ivar count: of them.
    :ivar stage: those of a lower one are ready before these start, and stop after them.
    :ivar serves: whether it takes connections.  In a rolling restart such a one is replaced by a
        successor that is ready; of any other kind there is never more than one in a place.
    """

    name: str
    entry: str
    count: int = 1
    stage: int = 0
    serves: bool = False

    def label(self, number: int) -> str:
        """The name of one of them, such as ``worker-2``."""
        return f"{self.name}-{number}" if self.count > 1 or self.serves else self.name


def log_writer() -> Kind:
    """The log's writer, where the log is a file."""
    return Kind(name="writer", entry="takotwist.server.log_writer:make")


def workers(count: int) -> Kind:
    """The workers."""
    return Kind(
        name="worker", entry="takotwist.server.worker:make", count=count, stage=1, serves=True
    )


def count_of(config: Config) -> int:
    """Number of workers that are wanted."""
    said = config.server.workers
    return available_cpus() if said == "auto" else said


def available_cpus(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """CPUs that this process may use: of those it may run on, what its control group allows."""
    cpus = len(os.sched_getaffinity(0))
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
        if quota != "max":
            cpus = min(cpus, -(-int(quota) // int(period)))
    except (OSError, ValueError):
        # No version 2 of control groups, or none that limits us.
        pass
    return max(1, cpus)


def held(config: Config) -> dict[str, object]:
    """The values of `HELD`, as JSON has them."""
    values = {dotted: config.value(KEYS[dotted]) for dotted in HELD}
    return {
        dotted: list(value)
        if isinstance(value, tuple)
        else str(value)
        if isinstance(value, Path)
        else value
        for dotted, value in values.items()
    }


def holding(config: Config, values: Mapping[str, Json]) -> Config:
    """`config` with what the supervisor holds."""
    sections: dict[str, dict[str, Json]] = {}
    for dotted, value in values.items():
        key = KEYS[dotted]
        typed: object = tuple(value) if isinstance(value, list) else value
        if isinstance(config.value(key), Path):
            typed = Path(value)
        sections.setdefault(key.section, {})[key.name] = typed
    changes = sections.pop("", {})
    for name, change in sections.items():
        changes[name] = attrs.evolve(getattr(config, name), **change)
    return attrs.evolve(config, **changes)


@attrs.frozen(kw_only=True)
class Start:
    """The first message to a process, and all that it needs to know.

    :ivar entry: of its kind.
    :ivar name: its label.
    :ivar number: of how many (`count`) it is the one.
    :ivar slot: of this process among all that may be there at once; a successor in a rolling
        restart has another one than whom it replaces.
    :ivar serves: see `Kind`.  One that does not stops when the supervisor says so, at no signal.
    :ivar reactor: the module that installs its event loop.
    :ivar flags: of the command line.
    :ivar held: see `HELD`.
    :ivar modules: `sys.path`, where modules of the app are found.
    :ivar slots: how many there are.
    :ivar counts: the descriptor of their memory (`SharedCounts`).
    :ivar listeners: of each the descriptor of its channel, its family and its address.
    :ivar quic: what `QuicPorts.told` says of the UDP ports, where there are any.
    """

    entry: str
    name: str
    number: int
    count: int
    slot: int
    serves: bool
    reactor: str
    flags: Mapping[str, Json]
    #: An address in it may have a password.
    held: Mapping[str, Json] = attrs.field(repr=False)
    modules: Sequence[str]
    slots: int
    counts: int
    listeners: Sequence[tuple[int, int, Json]] = ()
    quic: JsonObject | None = None
    version: int = VERSION
