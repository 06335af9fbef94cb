"""Where the server listens, and to whom: what cannot work, and what is probably not meant."""

from __future__ import annotations

from tests.server.config.folder import FolderTestCase


class CheckListenersTests(FolderTestCase):
    """Addresses, the certificate, and the private listener."""

    def test_private_listener_on_every_network(self) -> None:
        """A private port without an interface would let the internet publish."""
        [problem] = self.problems('[private]\nlisten = ["tcp:9000"]')
        self.assertIn("private.listen: has tcp:9000, which every network would reach", problem)
        self.assertIn("add :interface=127.0.0.1", problem)

    def test_private_listener_on_another_network(self) -> None:
        """Said explicitly it is taken, with a warning; loopback needs none."""
        config = self.load('[private]\nlisten = ["tcp:9000:interface=0.0.0.0"]')
        self.assertIn("may publish without a key", " ".join(config.warnings))
        config = self.load('[private]\nlisten = ["tcp:9000:interface=127.0.0.1"]')
        self.assertNotIn("without a key", " ".join(config.warnings))

    def test_nothing_to_serve(self) -> None:
        """Without any public listener there is no server."""
        [problem] = self.problems("[http]\nlisten = []")
        self.assertIn("nothing would be served", problem)

    def test_one_port_twice(self) -> None:
        """The same endpoint cannot be listened on twice; port 0 is another each time."""
        [problem] = self.problems('[http]\nlisten = ["tcp:80"]\n[tls]\nlisten = ["tcp:80"]')
        self.assertIn("tls.listen: has tcp:80 and http.listen has it too", problem)
        self.load('[http]\nlisten = ["tcp:0", "tcp:0"]')

    def test_certificate_without_its_key(self) -> None:
        """A certificate and a key go together."""
        self.write("c.pem", "")
        [problem] = self.problems('[tls]\ncertificate = "c.pem"')
        self.assertIn("tls.certificate: is said and tls.key is not", problem)
        [problem] = self.problems("", flags={"key": "c.pem"})
        self.assertIn("--key: tls.key: is said and tls.certificate is not", problem)

    def test_redirect_to_nothing(self) -> None:
        """A redirect needs TLS here, or the hosts of a proxy that has it."""
        [problem] = self.problems("[http]\nredirect_to_tls = true")
        self.assertIn("http.redirect_to_tls: needs tls.listen", problem)
        self.load('[http]\nredirect_to_tls = true\n[tls]\nlisten = ["tcp:8443"]')
        self.load('[http]\nredirect_to_tls = true\nallowed_hosts = ["a.example"]')

    def test_strict_transport_security(self) -> None:
        """It is not sent with the development certificate, and has a form."""
        text = '[tls]\nlisten = ["tcp:8443"]\nstrict_transport_security = '
        config = self.load(text + '"max-age=60; includeSubDomains"')
        self.assertIn("is not sent with the development certificate", " ".join(config.warnings))
        for bad in ("60", "max-age=-1", "max-age=1; x", "max-age=1\\r\\nX: y"):
            [problem] = self.problems(f'{text}"{bad}"')
            self.assertIn("tls.strict_transport_security: must be such as", problem)

    def test_socket_path_that_is_too_long(self) -> None:
        """A path of more than 107 bytes is refused where the operator wrote it."""
        [problem] = self.problems(f'[http]\nlisten = ["unix:/{"x" * 120}"]')
        self.assertIn("a socket path of more than 107 bytes", problem)

    def test_domains(self) -> None:
        """A certificate that is obtained needs a listener and a safe authority, and no other."""
        names = 'domains = ["Chat.example.com"]'
        config = self.load(f"[tls]\n{names}")
        self.assertEqual(config.tls.domains, ("chat.example.com",))
        self.assertEqual(config.tls.listen, ("tcp:443",))
        self.assertEqual(config.tls.acme_folder, self.folder / "state" / "acme")
        self.assertFalse(config.tls.is_development)
        for more, words in (
            ("listen = []", "needs tls.listen"),
            ('acme_directory = "http://ca.example/dir"', "must be https"),
            ('certificate = "c.pem"\nkey = "k.pem"', "is said beside tls.certificate"),
            ('acme_challenge = "http-01"\n[http]\nlisten = []', "answered by http.listen"),
        ):
            self.write("c.pem", "")
            self.write("k.pem", "")
            problems = self.problems(f"[tls]\n{names}\n{more}")
            self.assertIn(words, " ".join(problems))
        for name in ("*.example.com", "localhost", "192.0.2.1", "a b.c", "-a.example", ""):
            [problem] = self.problems(f'[tls]\ndomains = ["{name}"]')
            self.assertIn("must be a domain name", problem)
