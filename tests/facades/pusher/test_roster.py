"""Who follows the channels of one app: connections, and users whatever their connections."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist.facades.pusher.roster import Change, Member, Roster, info_of


class RosterTests(SynchronousTestCase):
    """Connections are words here."""

    def setUp(self) -> None:
        self.roster: Roster[str] = Roster()

    def who(self, change: Change) -> str | None:
        """The member that has come or gone."""
        return None if change.member is None else change.member.user_id

    def test_connections(self) -> None:
        """In the order in which they came; the last to leave vacates the channel."""
        for connection in ("c", "a", "b"):
            self.assertEqual(self.roster.enter("news", connection), Change())
        self.assertEqual(list(self.roster.get("news").connections), ["c", "a", "b"])
        self.assertEqual(self.roster.leave("news", "a"), Change())
        self.assertEqual(self.roster.leave("news", "c"), Change())
        self.assertEqual(self.roster.leave("news", "b"), Change(vacated=True))

    def test_members(self) -> None:
        """A user is a member from its first connection to its last."""
        first = self.roster.enter("room", "tab 1", "ann", b'{"n":1}')
        self.assertEqual((self.who(first), first.member and first.member.info), ("ann", b'{"n":1}'))
        self.assertIsNone(self.roster.enter("room", "tab 2", "ann", b'{"n":2}').member)
        self.assertEqual(self.who(self.roster.enter("room", "other", "bob")), "bob")
        self.assertEqual(list(self.roster.members()), [("room", "ann"), ("room", "bob")])
        # What it shows is what it came with.
        self.assertEqual(self.roster.get("room").members["ann"].info, b'{"n":1}')
        self.assertEqual(self.roster.leave("room", "tab 1"), Change())
        left = self.roster.leave("room", "tab 2")
        self.assertEqual((self.who(left), left.vacated), ("ann", False))
        last = self.roster.leave("room", "other")
        self.assertEqual((self.who(last), last.vacated), ("bob", True))

    def test_guests_and_members(self) -> None:
        """A connection that is no member keeps a channel occupied, and is in no list."""
        self.roster.enter("room", "guest")
        self.roster.enter("room", "tab", "ann")
        left = self.roster.leave("room", "tab")
        self.assertEqual((self.who(left), left.vacated), ("ann", False))
        self.assertEqual(list(self.roster.members()), [])
        self.assertTrue(self.roster.leave("room", "guest").vacated)

    def test_leaves_once(self) -> None:
        """Who did not follow a channel changes nothing by leaving it."""
        self.assertEqual(self.roster.leave("news", "a"), Change())
        self.roster.enter("news", "a", "ann")
        self.assertEqual(self.roster.leave("news", "b"), Change())
        self.assertTrue(self.roster.leave("news", "a").vacated)
        self.assertEqual(self.roster.leave("news", "a"), Change())

    def test_nothing_kept(self) -> None:
        """A channel that nobody follows has no entry, and to ask for it makes none."""
        self.assertEqual(self.roster.get("news").connections, {})
        self.assertEqual((len(self.roster), "news" in self.roster), (0, False))
        self.roster.enter("news", "a", "ann")
        self.assertEqual((list(self.roster.names()), len(self.roster)), (["news"], 1))
        self.assertIn("news", self.roster)
        [(name, followed)] = self.roster.items()
        self.assertEqual((name, list(followed.members)), ("news", ["ann"]))
        self.roster.leave("news", "a")
        self.assertEqual((len(self.roster), list(self.roster.members())), (0, []))

    def test_channels_apart(self) -> None:
        """A user is a member of each channel by itself."""
        for name in ("one", "two"):
            self.assertEqual(self.who(self.roster.enter(name, "tab", "ann")), "ann")
        self.assertEqual(self.who(self.roster.leave("one", "tab")), "ann")
        self.assertEqual(list(self.roster.members()), [("two", "ann")])

    def test_members_are_themselves(self) -> None:
        """Two who show the same are two."""
        self.assertNotEqual(Member("ann", b"1"), Member("ann", b"1"))

    def test_info(self) -> None:
        """What is shown is the app's JSON, or nothing."""
        self.assertEqual(info_of({"user_info": {"n": [1]}}, "user_info"), b'{"n":[1]}')
        self.assertEqual(info_of({}, "user_info"), b"null")
