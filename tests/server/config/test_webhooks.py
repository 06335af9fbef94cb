"""``[webhooks]``: endpoints and their secrets."""

from __future__ import annotations

from base64 import b64encode

from tests.server.config.folder import FolderTestCase

SECRET = "whsec_" + b64encode(b"never-to-be-shown-anywhere").decode()
APP = '[webhooks.endpoints.app]\nurl = "https://app.example/hook"\n'


class WebhooksTests(FolderTestCase):
    """Files with endpoints."""

    def wrong(self, toml: str, word: str) -> None:
        problems = self.problems(toml)
        self.assertIn(word, "\n".join(map(str, problems)))
        self.assertNotIn(SECRET, "\n".join(map(str, problems)))

    def test_endpoints(self) -> None:
        config = self.load(f'{APP}secret = "{SECRET}"\nevents = ["topic.vacated"]\n')
        [one] = config.webhooks.endpoints
        self.assertEqual((one.name, one.secrets), ("app", (SECRET,)))
        self.assertEqual(one.events, ("topic.vacated",))
        self.assertNotIn(SECRET, repr(config))

    def test_secret_file(self) -> None:
        """It may hold two, while one is exchanged for another."""
        (self.folder / "secrets").write_text(f"{SECRET}\n{SECRET[:-4]}\n")
        config = self.load(APP + 'secret_file = "secrets"\n')
        self.assertEqual(config.webhooks.endpoints[0].secrets, (SECRET, SECRET[:-4]))
        (self.folder / "secrets").write_text("short\n")
        self.wrong(APP + 'secret_file = "secrets"\n', "app.secret_file")

    def test_wrong(self) -> None:
        self.wrong(APP, "secret_file or secret")
        self.wrong(f'{APP}secret = "{SECRET}x"', "whsec_")
        self.wrong(f'{APP}secret = "{SECRET}"\nevents = ["nothing"]', "events")
        self.wrong(f'[webhooks.endpoints.app]\nsecret = "{SECRET}"', "url")
        self.wrong(f'{APP}secret = "{SECRET}"\ncolour = 1', "'colour'")
