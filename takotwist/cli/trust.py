"""``tako trust``: how a browser, or a system, comes to trust the development CA.

Rule: what changes the machine is asked for (``--nss``); everything else is
text to copy.
"""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import click

from takotwist.cli.configured import config_option, configured
from takotwist.errors import ConfigError
from takotwist.transports.development_ca import ensure_development_certificate
from takotwist.transports.private_names import DOMAINS

NICKNAME = "takotwist development CA"

#: Where Chrome and Chromium on Linux look.
NSS_DATABASE = Path("~/.pki/nssdb")


def how_to_trust(authority: Path) -> str:
    """The text for people, with the CA's own path in it."""
    return f"""\
The development CA is in

    {authority}

It signs for private names and addresses only ({", ".join(DOMAINS)},
127.0.0.0/8, 192.168.0.0/16 and the like), and its key never leaves this machine.
To trust it, once:

  curl, and programs that take a file
    curl --cacert {authority} https://localhost:8443/
    NODE_EXTRA_CA_CERTS={authority} node app.js
    SSL_CERT_FILE={authority} python app.py

  Chrome, Chromium, Edge on Linux (packages libnss3-tools or nss-tools)
    tako trust --nss
    and restart the browser

  Firefox
    Settings, Privacy & Security, Certificates, View Certificates, Authorities, Import

  Debian, Ubuntu
    sudo cp {authority} /usr/local/share/ca-certificates/takotwist-development.crt
    sudo update-ca-certificates

  Fedora, RHEL
    sudo cp {authority} /etc/pki/ca-trust/source/anchors/takotwist-development.pem
    sudo update-ca-trust

  macOS
    security add-trusted-cert -r trustRoot \\
      -k ~/Library/Keychains/login.keychain-db {authority}

  Windows, as the user who browses
    certutil -addstore -user Root {authority}
"""


@click.command("trust")
@config_option
@click.option("--state-dir", metavar="FOLDER", help="The state folder, if not the configured one.")
@click.option("--nss", is_flag=True, help="Add it to the database of Chrome and Chromium on Linux.")
def command(config: str | None, state_dir: str | None, nss: bool) -> None:
    """Say how to trust the development certificate, or do it.

    The CA is made if there is none yet. It is for development: a public server has a
    certificate of a public authority under [tls].

    \b
    Examples:
      tako trust
      tako trust --nss
    """
    checked = configured(config=config, state_dir=state_dir)
    folder = checked.state_dir / "tls"
    try:
        files = ensure_development_certificate(folder, checked.tls.hosts, datetime.now(UTC))
    except ConfigError as bad:
        raise click.ClickException(str(bad)) from None
    if nss:
        install_in_nss(files.authority, NSS_DATABASE.expanduser())
        click.echo(f"Chrome and Chromium trust {files.authority} after a restart.")
    else:
        click.echo(how_to_trust(files.authority), nl=False)


def install_in_nss(authority: Path, database: Path) -> None:
    """Add the CA to an NSS database, in place of an older one of ours.

    :param database: a folder; made where it is missing.
    :raises click.ClickException: certutil is missing or fails.
    """
    certutil = shutil.which("certutil")
    if certutil is None:
        raise click.ClickException(
            "certutil is missing: install libnss3-tools (Debian, Ubuntu) or nss-tools (Fedora)"
        )
    if not (database / "cert9.db").exists():
        database.mkdir(mode=0o700, parents=True, exist_ok=True)
        _run(certutil, "-N", "--empty-password", database=database)
    present = subprocess.run(
        [certutil, "-L", "-n", NICKNAME, "-d", f"sql:{database}"], capture_output=True, check=False
    )
    if present.returncode == 0:
        _run(certutil, "-D", "-n", NICKNAME, database=database)
    _run(certutil, "-A", "-t", "C,,", "-n", NICKNAME, "-i", str(authority), database=database)


def _run(certutil: str, *arguments: str, database: Path) -> None:
    done = subprocess.run(
        [certutil, *arguments, "-d", f"sql:{database}"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise click.ClickException(f"certutil: {done.stderr.strip() or done.stdout.strip()}")
