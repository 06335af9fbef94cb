"""Pebble, the ACME server that Let's Encrypt gives to authors of clients.

It and the DNS server that comes with it are Go programs, which `tests/run` installs.  Every name
leads to this machine, and names are proved at ports that are given.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import httpx

from takotwist.tls.development_ca import ensure_development_certificate
from tests.docs.page import ROOT
from tests.sockets.server_process import free_port, wait_until

#: Where `tests/run` puts them.
_BIN = ROOT / ".venv-go" / "bin"


def programs() -> tuple[str, str] | None:
    """The paths of both; `None` where they are not installed."""
    found = [
        shutil.which(name, path=f"{_BIN}:{os.environ.get('PATH', '')}")
        for name in ("pebble", "pebble-challtestsrv")
    ]
    return (found[0], found[1]) if found[0] and found[1] else None


class Pebble:
    """One ACME server.

    :param http_port: where http-01 is asked for; tls_port: the same of tls-alpn-01.
    :param life: seconds that its certificates are valid for.
    """

    def __init__(self, http_port: int, tls_port: int, life: int = 90 * 86_400) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pebble-"))
        self.port, self.management_port = free_port(), free_port()
        self._dns_port, self._dns_management = free_port(), free_port()
        files = ensure_development_certificate(self.folder, ["127.0.0.1"], datetime.now(UTC))
        #: Who signed the certificate of its own API.
        self.ca_file = files.authority
        config = {
            "listenAddress": f"127.0.0.1:{self.port}",
            "managementListenAddress": f"127.0.0.1:{self.management_port}",
            "certificate": str(files.certificate),
            "privateKey": str(files.key),
            "httpPort": http_port,
            "tlsPort": tls_port,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": False,
            "retryAfter": {"authz": 1, "order": 1},
            "keyAlgorithm": "ecdsa",
            "profiles": {"default": {"description": "The only one", "validityPeriod": life}},
        }
        (self.folder / "config.json").write_text(json.dumps({"pebble": config}))
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def directory(self) -> str:
        """The URL of its directory."""
        return f"https://127.0.0.1:{self.port}/dir"

    def start(self) -> Pebble:
        """Start it, with nothing known of what it knew before."""
        found = programs()
        assert found is not None
        pebble, dns = found
        self._run(
            dns,
            f"-dnsserver=127.0.0.1:{self._dns_port}",
            f"-management=127.0.0.1:{self._dns_management}",
            "-defaultIPv4=127.0.0.1",
            "-defaultIPv6=",
            "-http01=",
            "-https01=",
            "-tlsalpn01=",
            "-doh=",
        )
        self._run(
            pebble,
            f"-config={self.folder / 'config.json'}",
            f"-dnsserver=127.0.0.1:{self._dns_port}",
        )
        wait_until(lambda: "ACME directory available" in self.log, "Pebble")
        return self

    def _run(self, *command: str) -> None:
        environ = {
            **os.environ,
            "PEBBLE_VA_NOSLEEP": "1",
            # It refuses nonces now and then, so that clients cope; here one in four.
            "PEBBLE_WFE_NONCEREJECT": "25",
            "PEBBLE_AUTHZREUSE": "0",
        }
        with (self.folder / "log").open("ab") as log:
            self._processes.append(
                subprocess.Popen(command, cwd=self.folder, env=environ, stdout=log, stderr=log)
            )

    def stop(self) -> None:
        """End it, and forget what it has said."""
        for process in self._processes:
            process.kill()
            process.wait()
        self._processes.clear()
        (self.folder / "log").unlink(missing_ok=True)

    def close(self) -> None:
        """End it, and remove its files."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def log(self) -> str:
        """All that it has said since its start."""
        file = self.folder / "log"
        return file.read_text() if file.exists() else ""

    @property
    def orders(self) -> int:
        """How many were placed."""
        return self.log.count("Added order")

    @property
    def root(self) -> str:
        """The certificate of its root, PEM; another one after each start."""
        return self._manage("GET", "roots/0").text

    def advise(self, certificate: str, begin: datetime, end: datetime) -> None:
        """Have a certificate (PEM) renewed in this window (ARI)."""
        window = {"start": begin.isoformat(), "end": end.isoformat()}
        answer = json.dumps({"suggestedWindow": window})
        said = {"certificate": certificate, "ariResponse": answer}
        self._manage("POST", "set-renewal-info/", json=said).raise_for_status()

    def _manage(self, method: str, path: str, **more: object) -> httpx.Response:
        url = f"https://127.0.0.1:{self.management_port}/{path}"
        with httpx.Client(verify=str(self.ca_file), timeout=60) as client:
            return client.request(method, url, **more)  # type: ignore[arg-type]
