"""The Caddy how-to, with Debian's Caddy in front of a real server."""

from __future__ import annotations

import subprocess
from shutil import which

from tests.docs.page import DOCS, blocks, project
from tests.docs.proxied import Proxied

CADDY = which("caddy")

#: Above the page's options: no certificate from elsewhere, and no port that the page does not name.
ABOVE = """{{
    admin off
    auto_https disable_redirects
    storage file_system {folder}/caddy
    servers"""


class CaddyTests(Proxied):
    """Its whole configuration, as the page has it."""

    def proxy(self, second: int | None = None) -> str:
        assert CADDY, "Caddy is missing: apt-get install caddy"
        version = subprocess.run([CADDY, "version"], capture_output=True, text=True, check=True)
        text = project(DOCS / "howto" / "caddy.md")["Caddyfile"]
        if tuple(map(int, version.stdout.lstrip("v").split()[0].split(".")[:2])) < (2, 7):
            text = self.replaced(
                text,
                ("            stream_close_delay 10m\n", ""),
                ("        enable_full_duplex\n", ""),
            )
            self.full_duplex = ("--http2",)
        if second is not None:
            [both] = blocks("caddy", "howto/scale-out.md")
            alone = text[
                text.index("reverse_proxy 127.0.0.1:8080") : text.index("    }\n    handle {")
            ]
            text = self.replaced(
                text,
                (alone, both.text),
                ("10.0.0.11:8080", "127.0.0.1:8080"),
                ("10.0.0.12:8080", f"127.0.0.1:{second}"),
            )
        text = self.replaced(
            text,
            ("{\n    servers", ABOVE.format(folder=self.folder)),
            (
                "chat.example.com {",
                f"https://localhost:{self.port} {{\n"
                f"    tls {self.tls}/localhost.pem {self.tls}/localhost-key.pem",
            ),
            ("127.0.0.1:8080", f"127.0.0.1:{self.running.port}"),
        )
        path = self.write("Caddyfile", text)
        return f"exec {CADDY} run --adapter caddyfile --config {path}"


del Proxied
