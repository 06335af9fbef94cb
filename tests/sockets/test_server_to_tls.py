"""TLS and plain HTTP side by side: clients of other people are sent from one to the other."""

from __future__ import annotations

import shutil

import httpx
from twisted.trial.unittest import SynchronousTestCase

from tests.sockets.server_process import FAST, KEY, KEYS, ServerProcess

REDIRECT = "[http]\nredirect_to_tls = true\n"
MSG = {"type": "msg", "data": 1}


class ToTlsTests(SynchronousTestCase):
    """A server with both."""

    def server(self, more: str = "") -> ServerProcess:
        """One that runs."""
        server = ServerProcess(f"{FAST}{KEYS}{REDIRECT}{more}", tls=True)
        self.addCleanup(server.close)
        return server

    def test_redirected(self) -> None:
        """A publish and a subscription are done by TLS, and health where it is asked."""
        server = self.server().start()
        plain = f"http://localhost:{server.port}/channels/news"
        with httpx.Client(verify=server.trust, timeout=60) as client:
            said = {"Authorization": f"Bearer {KEY}"}
            for _ in range(3):
                answer = client.post(plain, json=MSG, headers=said)
                self.assertEqual(answer.status_code, 308)
                # By hand: a client does not show its key to another port.
                answer = client.post(answer.headers["location"], json=MSG, headers=said)
                self.assertEqual((answer.status_code, answer.json()["data"]), (200, 1))
            with client.stream("GET", plain, follow_redirects=True) as answer:
                self.assertEqual((answer.status_code, answer.url.scheme), (200, "https"))
            answer = client.get(f"http://127.0.0.1:{server.port}/_tako/health")
            self.assertEqual((answer.status_code, answer.url.scheme), (200, "http"))
        with server.private() as private:
            self.assertEqual(private.post("/channels/news", json=MSG).status_code, 200)
        server.assert_clean()

    def test_strict_transport_security(self) -> None:
        """It is said over TLS alone, and not with the development certificate."""
        said = '[tls]\nstrict_transport_security = "max-age=60; includeSubDomains"\n'
        server = self.server(said).start()
        with httpx.Client(verify=server.trust, timeout=60) as client:
            answer = client.get(f"{server.tls_url}/_tako/health")
            self.assertNotIn("strict-transport-security", answer.headers)
            server.stop()
            self.assertIn("strict_transport_security is not sent", server.log)
            made = server.folder / "state" / "tls"
            for name in ("localhost.pem", "localhost-key.pem"):
                shutil.copy(made / name, server.folder / name)
            certificate = 'certificate = "localhost.pem"\nkey = "localhost-key.pem"\n'
            server.write_config(f"{FAST}{REDIRECT}{said}{certificate}")
            server.start()
            for path in ("/_tako/health", "/channels/nothing"):
                answer = client.get(f"{server.tls_url}{path}")
                self.assertEqual(
                    answer.headers["strict-transport-security"], "max-age=60; includeSubDomains"
                )
            with client.stream("GET", f"{server.tls_url}/channels/news") as stream:
                self.assertIn("strict-transport-security", stream.headers)
            plain = client.get(f"{server.url}/_tako/health")
            self.assertNotIn("strict-transport-security", plain.headers)
