"""``tako trust``: how a browser, or a system, comes to trust the development CA, and no longer.

Rule: what changes the machine is asked for (``--nss``, ``--system``, ``--remove``) and said as it
is done; everything else is text to copy.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import NameOID

from takotwist.cli.configured import config_option, configured
from takotwist.errors import ConfigError
from takotwist.server.config import Config
from takotwist.server.config.derive import TLS_DEFAULT
from takotwist.server.config.endpoint_text import EndpointText
from takotwist.server.tls import development_certificate, tako_command
from takotwist.tls.certificate import DOMAINS
from takotwist.tls.development_ca import AUTHORITY, NETWORK_AUTHORITY, ORGANIZATION
from takotwist.tls.trust_stores import (
    NssStore,
    SystemStore,
    TrustFailed,
    fingerprint,
    nss_stores,
    run,
)


def how_to_trust(authority: Path) -> str:
    """The text for people, with the CA's own path in it."""
    # A system keeps several beside each other too, by the names of their files.
    name = f"takotwist-{fingerprint(authority)}"
    names = "localhost, *.localhost, 127.0.0.1 and ::1 only"
    if authority.name == NETWORK_AUTHORITY:
        names = (
            f"private names and addresses only ({', '.join(DOMAINS)},\n192.168.0.0/16 and the like)"
        )
    tako = tako_command()
    return f"""\
The development CA is in

    {authority}

It signs for {names}, and its key never leaves
this machine. To trust it, once:

  Chrome, Chromium, Edge, Firefox on Linux (packages libnss3-tools or nss-tools)
    {tako} trust --nss
    and restart the browser

  Debian, Ubuntu: curl, Python, Go and what else goes by the system's certificates
    {tako} trust --system

  To undo either
    {tako} trust --remove

  curl, and programs that take a file
    curl --cacert {authority} https://localhost:8443/
    NODE_EXTRA_CA_CERTS={authority} node app.js
    SSL_CERT_FILE={authority} python app.py

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
@click.option("--nss", is_flag=True, help="Add it to this user's browsers on Linux (by certutil).")
@click.option("--system", is_flag=True, help="Add it to the system's certificates on Debian.")
@click.option("--remove", is_flag=True, help="Take it out of both, or of the one that is named.")
def command(
    config: str | None, state_dir: str | None, nss: bool, system: bool, remove: bool
) -> None:
    """Say how to trust the development certificate, do it, or undo it.

    Without a flag nothing on the machine is changed, but for the CA itself, which is made if
    there is none yet. --nss adds it to the databases of Chrome, Chromium, Edge and Firefox,
    for servers only. --system copies it to /usr/local/share/ca-certificates and runs
    update-ca-certificates, by sudo where that is needed. Each step is said.

    The CA is for development: a public server has a certificate of a public authority
    under [tls].

    \b
    Examples:
      tako trust
      tako trust --nss
      tako trust --nss --system
      tako trust --remove
    """
    checked = configured(config=config, state_dir=state_dir)
    try:
        if remove:
            _remove(checked, nss=nss or not system, system=system or not nss)
            return
        authority = _authority(checked)
        if nss:
            trust_in_browsers(authority)
        if system:
            _trust_in_system(authority)
    except (TrustFailed, ConfigError) as failed:
        raise click.ClickException(str(failed)) from None
    if not nss and not system:
        click.echo(how_to_trust(authority), nl=False)


def _authority(config: Config) -> Path:
    """The CA, made if need be.

    :raises ConfigError: it cannot be made.
    :raises click.ClickException: another one is served on this machine.
    """
    authority = development_certificate(config, datetime.now(UTC)).authority
    other = served_by_another(authority, config.tls.listen or (TLS_DEFAULT,))
    if other is not None:
        raise click.ClickException(other)
    return authority


def trust_in_browsers(authority: Path) -> None:
    """Add the CA to the databases of this user's browsers, and say so.

    :raises TrustFailed: certutil is missing or fails.
    """
    for store in nss_stores(Path.home()):
        store.add(authority)
        click.echo(f"{store.title} has {NssStore.name_of(authority)!r} now.")
        for name in store.ours():
            if name != NssStore.name_of(authority):
                click.echo(
                    f"  It goes on trusting {name!r}, of another folder or user. To end that:"
                    f" certutil -D -n {name!r} -d {store.title}"
                )
    click.echo(f"Your browsers trust {authority} after a restart.")


def _trust_in_system(authority: Path) -> None:
    for one in SystemStore().add_commands(authority):
        click.echo(f"Running: {' '.join(one)}")
        run(one)
    click.echo(f"The system trusts {authority}.")


def _remove(config: Config, *, nss: bool, system: bool) -> None:
    """Take the CAs of the configured folder out of the stores.

    :raises TrustFailed: a store cannot be changed.
    """
    found = list(_authorities(config))
    if not found:
        folder = config.tls.development_ca or config.state_dir / "tls"
        click.echo(f"There is no development CA in {folder}, so none of it is trusted.")
    for authority in found:
        for store in nss_stores(Path.home()) if nss else ():
            if (store.folder / "cert9.db").exists() and store.remove(authority):
                click.echo(f"{store.title} has {NssStore.name_of(authority)!r} no longer.")
        if system and SystemStore().has(authority):
            for one in SystemStore().remove_commands(authority):
                click.echo(f"Running: {' '.join(one)}")
                run(one)
        where = " and ".join(
            name for name, wanted in (("your browsers", nss), ("the system", system)) if wanted
        )
        click.echo(f"{authority} is not trusted by {where}. It may be deleted, with its key.")


def _authorities(config: Config) -> Iterator[Path]:
    folder = config.tls.development_ca or config.state_dir / "tls"
    for name in (AUTHORITY, NETWORK_AUTHORITY):
        if (folder / name).exists():
            yield folder / name


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
