"""Tests for the messages of rosters."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist.core.roster_messages import roster_of
from takotwist.core.topic import Topic


class RosterTopicTests(SynchronousTestCase):
    def test_topic(self) -> None:
        """A roster is a topic of its channel whose key no channel's topic has."""
        roster = roster_of(Topic.of("chat", {"roomId": "a"}))
        self.assertEqual((roster.channel, roster.params), ("chat", {"roomId": "a"}))
        self.assertEqual(roster.key, "~presence:chat?roomId=a")
