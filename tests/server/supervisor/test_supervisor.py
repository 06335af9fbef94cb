"""What the supervisor listens on."""

from __future__ import annotations

import attrs
from twisted.trial.unittest import SynchronousTestCase

from takotwist.errors import ConfigError
from takotwist.server.config import Config
from takotwist.server.supervisor.supervisor import listens


class ListensTests(SynchronousTestCase):
    """Listeners of a configuration, in the order of a server's."""

    def _config(self, *http: str) -> Config:
        config = Config()
        return attrs.evolve(
            config,
            http=attrs.evolve(config.http, listen=http),
            tls=attrs.evolve(config.tls, listen=("tcp:8443",)),
            private=attrs.evolve(config.private, listen=("unix:a.sock:mode=600",)),
        )

    def test_order(self) -> None:
        """All of them; the PROXY protocol and TLS are left to the workers."""
        wanted = listens(self._config("tcp:80", "haproxy:tcp:81", "systemd:domain=INET:index=0"))
        self.assertEqual(
            [(one.key, one.endpoint, one.tls) for one in wanted],
            [
                ("http.listen", "tcp:80", None),
                ("http.listen", "tcp:81", None),
                ("http.listen", "systemd:domain=INET:index=0", None),
                ("tls.listen", "tcp:8443", None),
                ("private.listen", "unix:a.sock:mode=600", None),
            ],
        )

    def test_other_kinds(self) -> None:
        """An endpoint of a plugin's has no socket that could be handed on; that is said."""
        error = self.assertRaises(ConfigError, listens, self._config("onion:80"))
        self.assertIn("http.listen", str(error))
        self.assertIn("must be of tcp, tcp6, unix, systemd", str(error))
