"""The parts list of durable streams.  Imported where they are configured."""

from __future__ import annotations

from collections.abc import Callable

from takotwist.core.durable_stream import StreamBounds
from takotwist.facades.durable_streams.reading import StreamReader
from takotwist.facades.durable_streams.routes import StreamRoutes
from takotwist.flow.durable_streams import StreamService
from takotwist.server.compose_sentences import Sentences
from takotwist.server.config.streams import Streams
from takotwist.server.reloadable import Reloadable
from takotwist.streams.http.interface import ReadableRequest
from takotwist.transports.admission import Admission


def compose_streams(
    config: Streams,
    sentences: Sentences,
    settings: Reloadable,
    *,
    wall: Callable[[], float],
    random: Callable[[], float],
) -> Callable[
    [Admission, Callable[[ReadableRequest], None], Callable[[str, int], None]], StreamRoutes
]:
    """The streams of a server.

    :return: makes the routes of a listener, by who is let in, who may write there, and how
        that is counted.
    """
    publishing = sentences.publishing
    bounds = StreamBounds(
        max_bytes=config.max_stream_bytes,
        lifetime_us=int(config.lifetime_hours * 3600 * 1_000_000),
        max_producers=config.max_producers,
    )
    streams = StreamService(publishing.log, sentences.followed, publishing, bounds, wall)

    def routes(
        admission: Admission,
        may_write: Callable[[ReadableRequest], None],
        cost: Callable[[str, int], None],
    ) -> StreamRoutes:
        reader = StreamReader(admission, streams, config, random)
        return StreamRoutes(
            admission,
            streams,
            reader,
            config,
            may_write,
            cost,
            lambda request: settings.peer(request).origin,
        )

    return routes
