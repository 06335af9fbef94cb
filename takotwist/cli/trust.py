"""``tako trust``: how a browser, or a system, comes to trust the development CA.

Rule: what changes the machine is asked for (``--nss``); everything else is
text to copy.
"""

from __future__ import annotations

import re
import shutil
import ssl
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import click
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from takotwist.cli.configured import config_option, configured
from takotwist.errors import ConfigError
from takotwist.server.config.derive import TLS_DEFAULT
from takotwist.server.config.endpoint_text import EndpointText
from takotwist.server.tls import development_certificate, tako_command
from takotwist.tls.certificate import DOMAINS
from takotwist.tls.development_ca import ORGANIZATION

#: Where Chrome and Chromium on Linux look.
NSS_DATABASE = Path("~/.pki/nssdb")

#: One of ours in a list of certutil: the name, and what it is trusted for.
_OURS = re.compile(rf"^({ORGANIZATION}.*?) +\S*,\S*,\S* *$", re.M)


def how_to_trust(authority: Path) -> str:
    """The text for people, with the CA's own path in it."""
    # A system keeps several beside each other too, by the names of their files.
    name = f"takotwist-{_fingerprint(authority)}"
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
    {tako_command()} trust --nss
    and restart the browser

  Firefox
    Settings, Privacy & Security, Certificates, View Certificates, Authorities, Import

  Debian, Ubuntu
    sudo cp {authority} /usr/local/share/ca-certificates/{name}.crt
    sudo update-ca-certificates

  Fedora, RHEL
    sudo cp {authority} /etc/pki/ca-trust/source/anchors/{name}.pem
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
    try:
        files = development_certificate(checked, datetime.now(UTC))
    except ConfigError as bad:
        raise click.ClickException(str(bad)) from None
    other = served_by_another(files.authority, checked.tls.listen or (TLS_DEFAULT,))
    if other is not None:
        raise click.ClickException(other)
    if nss:
        others = install_in_nss(files.authority, NSS_DATABASE.expanduser())
        click.echo(f"Chrome and Chromium trust {files.authority} after a restart.")
        for name in others:
            click.echo(
                f"They go on trusting {name!r}, of another folder or user. To end that:"
                f" certutil -D -n {name!r} -d sql:{NSS_DATABASE}"
            )
    else:
        click.echo(how_to_trust(files.authority), nl=False)


def served_by_another(authority: Path, endpoints: Iterable[str]) -> str | None:
    """A sentence where this machine serves a certificate of another development CA.

    :param endpoints: where it may be served.
    """
    [trusted] = x509.load_pem_x509_certificates(authority.read_bytes())
    for port in filter(None, (EndpointText.parse(one).port for one in endpoints)):
        try:
            shown = ssl.get_server_certificate(("localhost", port), timeout=2)
        except (OSError, ValueError):
            continue
        leaf = x509.load_pem_x509_certificate(shown.encode())
        organizations = leaf.issuer.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        if [one.value for one in organizations] != [ORGANIZATION]:
            continue
        try:
            leaf.verify_directly_issued_by(trusted)
        except (InvalidSignature, ValueError, TypeError):
            return (
                f"https://localhost:{port} is served by another development CA than that in"
                f" {authority}: type this in the folder that it was started in, or name its"
                " state folder by --state-dir"
            )
    return None


def install_in_nss(authority: Path, database: Path) -> list[str]:
    """Add the CA to an NSS database.

    Each has a name of its own there, so that none takes the place of another, which may
    be in use.

    :param database: a folder; made where it is missing.
    :return: the names of those of ours that were there.
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
    name = f"{ORGANIZATION} {_fingerprint(authority)}"
    ours = _OURS.findall(_run(certutil, "-L", database=database))
    if name not in ours:
        _run(certutil, "-A", "-t", "C,,", "-n", name, "-i", str(authority), database=database)
    return [one for one in ours if one != name]


def _fingerprint(authority: Path) -> str:
    """The first half of what tells a CA from all others."""
    [certificate] = x509.load_pem_x509_certificates(authority.read_bytes())
    return certificate.fingerprint(hashes.SHA256()).hex()[:16]


def _run(certutil: str, *arguments: str, database: Path) -> str:
    done = subprocess.run(
        [certutil, *arguments, "-d", f"sql:{database}"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise click.ClickException(f"certutil: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
