"""The chat, in a server in memory: no port, no thread, no waiting."""

from unittest import TestCase

from channels.chat import chat
from people import COOKIE, cookie_for
from takotwist.testing.world import World

LOBBY = "/channels/chat?roomId=lobby"


def as_somebody(name):
    """The headers of somebody who is logged in."""
    return {"Cookie": f"{COOKIE}={cookie_for(name)}"}


class ChatTests(TestCase):
    def setUp(self):
        self.world = World(chat)
        self.reader = self.world.subscribe(LOBBY, as_somebody("bob"))
        self.speaker = self.world.connect(LOBBY, as_somebody("ada"), subprotocol="tako.v1")

    def say(self, **data):
        self.speaker.say({"ref": 1, "type": "msg", "data": data})

    def test_strangers_stay_out(self):
        self.assertEqual(self.world.subscribe(LOBBY).code, "credentials-missing")
        forged = {"Cookie": f"{COOKIE}={cookie_for('ada')}x"}
        self.assertEqual(self.world.subscribe(LOBBY, forged).status, 403)

    def test_name_is_that_of_the_login(self):
        self.say(text="hi", author="somebody else")
        self.assertEqual(self.reader.messages[0]["data"], {"text": "hi", "author": "ada"})

    def test_rooms_are_apart(self):
        other = self.world.subscribe("/channels/chat?roomId=other", as_somebody("bob"))
        self.say(text="hi")
        self.assertEqual(other.messages, [])
