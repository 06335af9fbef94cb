"""The parts list of the pages that a server has of its own: health, metrics, channels, nodes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

import attrs
from prometheus_client.registry import Collector
from twisted.web.resource import IResource

from takotwist.admin.channels import CHANNELS_PATH, ChannelsPage
from takotwist.admin.health import HEALTH_PATH, Health, HealthPage
from takotwist.admin.metrics import METRICS_PATH, Gauges, MetricsPage
from takotwist.admin.nodes import NODES_PATH, NodeInfo, NodesPage, OtherNodes
from takotwist.core.channel import Registry
from takotwist.interfaces import IReactor
from takotwist.server.compose_sentences import Sentences
from takotwist.transports.client_script import client_scripts


@attrs.frozen(slots=True, eq=False)
class OwnPages:
    """The pages of one server."""

    health: HealthPage
    metrics: MetricsPage
    channels: ChannelsPage
    nodes: NodesPage

    def public(self) -> Mapping[str, IResource]:
        """Health and the client's script."""
        return {HEALTH_PATH: self.health, **client_scripts()}

    def private(self) -> Mapping[str, IResource]:
        """Health, metrics, who is connected, and which nodes there are."""
        return {
            HEALTH_PATH: self.health,
            METRICS_PATH: self.metrics,
            CHANNELS_PATH: self.channels,
            NODES_PATH: self.nodes,
        }

    def for_peers(self) -> Mapping[str, Callable[[], Awaitable[bytes]]]:
        """The part of this node alone, for another node's pages."""
        return {
            "metrics": self.metrics.own_content,
            "channels": self.channels.own_content,
            "node": self.nodes.own_content,
        }


def compose_pages(
    reactor: IReactor,
    health: Callable[[], Health],
    sentences: Sentences,
    collectors: Sequence[Collector],
    registry: Registry,
    node_info: Callable[[], NodeInfo],
    others: OtherNodes | None,
) -> OwnPages:
    """The pages of one server.

    :param collectors: of metrics that are counted elsewhere.
    :param node_info: what there is to say of this node now.
    :param others: the other nodes, where there are several.
    """
    log, fanout = sentences.publishing.log, sentences.fanout

    def gauges() -> Gauges:
        return Gauges(
            topics=len(fanout.keys()),
            pending_appends=sentences.group.waiting,
            tail_bytes=sentences.tails.bytes,
            ready=health().ready,
            timers=len(reactor.getDelayedCalls()) + len(sentences.deadlines),
        )

    return OwnPages(
        HealthPage(health),
        MetricsPage(
            sentences.metrics, gauges, log.stats, *collectors, own=node_info, others=others
        ),
        ChannelsPage(registry, fanout, node_info, others),
        NodesPage(node_info, log.newest, others),
    )
