"""Services that all sessions share."""

from __future__ import annotations

from typing import Any

import attrs

from takotwist.core.channel import PresenceRules
from takotwist.core.topic import Topic
from takotwist.flow.channel_states import ChannelStates
from takotwist.flow.topic_request import TopicRequest
from tests.flow.session_case import CHANNEL, SessionTestCase


class ServicesTests(SessionTestCase):
    """Of a server in memory."""

    def test_state_of(self) -> None:
        """The app is asked for the state of a topic; a roster has none."""
        asked: list[tuple[Any, ...]] = []
        self.patch(ChannelStates, "at", lambda _, *args: asked.append(args))
        channel = attrs.evolve(CHANNEL, presence=PresenceRules())
        request = TopicRequest(channel, {}, Topic.of("chat", {}))
        self.assertIsNone(self.sessions.services.state_of(request.of_roster()))
        way = self.sessions.services.state_of(request)
        assert way is not None
        way(7)
        self.assertEqual(asked, [(request, 7)])
