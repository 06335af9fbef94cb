"""The chat, in a server in memory: no port, no thread, no waiting."""

from unittest import TestCase

from channels.chat import chat
from takotwist.testing.world import World

LOBBY = "/channels/chat?roomId=lobby"


class ChatTests(TestCase):
    def setUp(self):
        self.world = World(chat)
        self.reader = self.world.subscribe(LOBBY)
        self.speaker = self.world.connect(LOBBY, subprotocol="tako.v1")

    def say(self, text):
        data = {"author": "ada", "text": text}
        self.speaker.say({"ref": 1, "type": "msg", "data": data})

    def test_everybody_hears_it(self):
        self.say("hi")
        self.assertEqual(self.reader.messages[0]["data"], {"author": "ada", "text": "hi"})

    def test_rooms_are_apart(self):
        other = self.world.subscribe("/channels/chat?roomId=other")
        self.say("hi")
        self.assertEqual(other.messages, [])

    def test_nothing_is_said(self):
        self.say("")
        self.assertEqual(self.reader.messages, [])
        self.assertIn("text", self.speaker.ops[-1]["error"])
