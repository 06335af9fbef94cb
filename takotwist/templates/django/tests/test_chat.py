"""The chat, in a server in memory: no port, no thread, no waiting."""

import os
from importlib import import_module
from unittest import TestCase

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

from channels.chat import chat  # noqa: E402
from django.conf import settings  # noqa: E402
from takotwist.testing.world import World  # noqa: E402

LOBBY = "/channels/chat?roomId=lobby"


def as_somebody(name):
    """The headers of somebody who is logged in."""
    session = import_module(settings.SESSION_ENGINE).SessionStore()
    session["name"] = name
    session.save()
    return {"Cookie": f"{settings.SESSION_COOKIE_NAME}={session.session_key}"}


class ChatTests(TestCase):
    def setUp(self):
        self.world = World(chat)
        self.reader = self.world.subscribe(LOBBY, as_somebody("bob"))
        self.speaker = self.world.connect(LOBBY, as_somebody("ada"), subprotocol="tako.v1")

    def say(self, **data):
        self.speaker.say({"ref": 1, "type": "msg", "data": data})

    def test_strangers_stay_out(self):
        self.assertEqual(self.world.subscribe(LOBBY).code, "credentials-missing")
        forged = {"Cookie": f"{settings.SESSION_COOKIE_NAME}=forged"}
        self.assertEqual(self.world.subscribe(LOBBY, forged).status, 403)

    def test_name_is_that_of_the_login(self):
        self.say(text="hi", author="somebody else")
        self.assertEqual(self.reader.messages[0]["data"], {"text": "hi", "author": "ada"})

    def test_rooms_are_apart(self):
        other = self.world.subscribe("/channels/chat?roomId=other", as_somebody("bob"))
        self.say(text="hi")
        self.assertEqual(other.messages, [])
