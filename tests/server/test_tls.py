"""Which certificate the server shows."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from takotwist.errors import ConfigError
from takotwist.server.config import Config, Tls
from takotwist.server.tls import certificate_of
from takotwist.tls.development_ca import ensure_development_certificate

NOW = datetime(2026, 11, 21, tzinfo=UTC)


class TestCertificate(SynchronousTestCase):
    """None, the operator's, or that of a development CA."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)

    def watched(self, tls: Tls) -> object:
        """What there is for this section of the configuration."""
        return certificate_of(Config(state_dir=self.folder, tls=tls), Clock(), NOW.timestamp)

    def test_none(self) -> None:
        """Without a listener nothing is made, not even a CA."""
        self.assertIsNone(self.watched(Tls(listen=())))
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_development(self) -> None:
        """Without a certificate there is one of a CA in the state folder, for these hosts."""
        found = certificate_of(
            Config(state_dir=self.folder, tls=Tls(listen=("tcp:0",), hosts=("app.test",))),
            Clock(),
            NOW.timestamp,
        )
        assert found is not None
        self.assertIn("app.test", found.tls.pair.names)
        self.assertTrue((self.folder / "tls" / "development-network-ca.pem").is_file())

    def test_own(self) -> None:
        """A certificate that is named is shown, and one that is not there is an error."""
        files = ensure_development_certificate(self.folder / "own", ["mine.test"], NOW)
        found = certificate_of(
            Config(
                state_dir=self.folder,
                tls=Tls(listen=("tcp:0",), certificate=files.certificate, key=files.key),
            ),
            Clock(),
            NOW.timestamp,
        )
        assert found is not None
        self.assertIn("mine.test", found.tls.pair.names)
        self.assertFalse((self.folder / "tls").exists())
        files.key.unlink()
        self.assertRaises(
            ConfigError,
            self.watched,
            Tls(listen=("tcp:0",), certificate=files.certificate, key=files.key),
        )
