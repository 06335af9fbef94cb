"""Pages of several nodes, joined: their metrics and their lists of channels.

Rule: what is summed is what adds up.  A gauge of the store that all share is the same on each,
and a state is that of the worst.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from takotwist.core.json_values import Json

#: Of these the least of all nodes counts, and of those the most.
LEAST = frozenset({"tako_ready", "tako_store_available"})
MOST = frozenset(
    {
        "tako_stored_topics",
        "tako_stored_messages",
        "tako_stored_bytes",
        "process_start_time_seconds",
        "process_max_fds",
    }
)

_Key = tuple[str, tuple[tuple[str, str], ...]]


class JoinedMetrics:
    """Metrics of nodes, as a registry that can be printed.

    :param texts: the page of each node, by its label; a node may be there twice, while one
        takes over from another.
    :param each: with the node as a label; else in one.
    """

    def __init__(self, texts: Sequence[tuple[str, str]], *, each: bool) -> None:
        self._families: dict[str, Metric] = {}
        self._values: dict[str, dict[_Key, float]] = {}
        for label, text in texts:
            for family in text_string_to_metric_families(text):
                self._add(family, {"node": label} if each else {})

    def _add(self, family: Metric, more: Mapping[str, str]) -> None:
        self._families.setdefault(family.name, family)
        values = self._values.setdefault(family.name, {})
        for sample in family.samples:
            key = (sample.name, tuple({**sample.labels, **more}.items()))
            before = values.get(key)
            if before is None:
                values[key] = sample.value
            elif family.name in LEAST:
                values[key] = min(before, sample.value)
            elif family.name in MOST:
                values[key] = max(before, sample.value)
            else:
                values[key] = before + sample.value

    def collect(self) -> Iterator[Metric]:
        """Implement `Collector`."""
        for name, family in self._families.items():
            joined = Metric(name, family.documentation, family.type)
            joined.samples = [
                Sample(sample, dict(labels), value)
                for (sample, labels), value in self._values[name].items()
            ]
            yield joined


def joined_channels(pages: Sequence[tuple[str, Json]], most_topics: int) -> object:
    """The lists of channels of nodes, in one.

    :param pages: each by its node's label, this node's first.
    :return: as one node would say it, and how many subscribers each of them has.
    """
    (_, first), *_ = pages
    channels = {one["channel"]: {**one, "subscribers": 0, "nodes": {}} for one in first["channels"]}
    topics: dict[str, dict[str, Json]] = {}
    for label, page in pages:
        for one in page["channels"]:
            # A channel that only a newer version of the app has is shown as that has it.
            name = one["channel"]
            joined = channels.setdefault(name, {**one, "subscribers": 0, "nodes": {}})
            _count(joined, label, one["subscribers"])
        for one in page["topics"]:
            joined = topics.setdefault(
                one["topic"], {"topic": one["topic"], "subscribers": 0, "nodes": {}}
            )
            _count(joined, label, one["subscribers"])
    ordered = sorted(topics.values(), key=lambda one: (-one["subscribers"], one["topic"]))
    in_all = max(len(topics), *(page["topics_in_all"] for _, page in pages))
    return {
        "channels": sorted(channels.values(), key=lambda one: str(one["channel"])),
        "topics": ordered[:most_topics],
        # At least: what the nodes left out may be the same topics.
        "topics_in_all": in_all,
    }


def _count(joined: dict[str, Json], label: str, subscribers: int) -> None:
    joined["subscribers"] += subscribers
    joined["nodes"][label] = joined["nodes"].get(label, 0) + subscribers
