"""The nginx how-to, with Debian's nginx in front of a real server."""

from __future__ import annotations

import subprocess
from shutil import which

from tests.docs.page import DOCS, blocks, project
from tests.docs.proxied import Proxied

NGINX = which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin")

#: Around the page's configuration, which stands in the http block.
AROUND = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/a; proxy_temp_path {folder}/b;
    fastcgi_temp_path {folder}/c; uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
    {inside}
}}
"""


class NginxTests(Proxied):
    """Its whole configuration, as the page has it."""

    quiet_seconds = 7.0

    def proxy(self, second: int | None = None) -> str:
        assert NGINX, "nginx is missing: apt-get install nginx-light"
        text = project(DOCS / "howto" / "nginx.md")["takotwist.conf"]
        version = subprocess.run([NGINX, "-v"], capture_output=True, text=True, check=True)
        listen = f"listen 127.0.0.1:{self.port} ssl"
        if tuple(map(int, version.stderr.split("/")[1].split()[0].split("."))) < (1, 25, 1):
            text = text.replace("    http2 on;\n", "")
            listen += " http2"
        if second is not None:
            [both] = [
                one for one in blocks("nginx", "howto/scale-out.md") if "upstream" in one.text
            ]
            alone = "upstream takotwist {\n    server 127.0.0.1:8080;\n    keepalive 64;\n}\n"
            text = self.replaced(
                text,
                (alone, both.text),
                ("10.0.0.11:8080", "127.0.0.1:8080"),
                ("10.0.0.12:8080", f"127.0.0.1:{second}"),
            )
        text = self.replaced(
            text,
            ("listen 443 ssl", listen),
            ("127.0.0.1:8080", f"127.0.0.1:{self.running.port}"),
            ("chat.example.com;", "localhost;"),
            ("/etc/letsencrypt/live/chat.example.com/fullchain.pem", f"{self.tls}/localhost.pem"),
            ("/etc/letsencrypt/live/chat.example.com/privkey.pem", f"{self.tls}/localhost-key.pem"),
            # As the page's time is to the keepalives of 25 seconds.
            ("75s;", "6s;"),
        )
        path = self.write("nginx.conf", AROUND.format(folder=self.folder, inside=text))
        return f"exec {NGINX} -c {path}"


del Proxied
