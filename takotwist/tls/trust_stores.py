"""The certificate stores of a user's browsers and of a Debian system, and a development CA in them.

Each store keeps a CA by a name with its fingerprint in it.  Rule: what was added by that name is
what is removed by it; a CA of another project, user or machine is left alone.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from takotwist.errors import TakoError
from takotwist.tls.development_ca import ORGANIZATION

#: Where Chrome, Chromium and Edge on Linux look.
CHROME_DATABASE = Path(".pki/nssdb")

#: Where else a user's browsers keep such a database: below the home, each with its own.
_DATABASES = (
    "snap/chromium/current/.pki/nssdb/cert9.db",
    ".mozilla/firefox/*/cert9.db",
    ".config/mozilla/firefox/*/cert9.db",
    "snap/firefox/common/.mozilla/firefox/*/cert9.db",
)

#: Debian's folder for certificates of the machine's own.
LOCAL_CERTIFICATES = Path("/usr/local/share/ca-certificates")

#: Its program is not in the PATH of everybody who may call it by sudo.
_SBIN = "/usr/sbin:/sbin"

#: One of ours in a list of certutil: the name, and what it is trusted for.
_OURS = re.compile(rf"^({ORGANIZATION}.*?) +\S*,\S*,\S* *$", re.M)


class TrustFailed(TakoError):
    """A store cannot be read or changed; says what to do."""


def fingerprint(authority: Path) -> str:
    """The first half of what tells a CA from all others."""
    [certificate] = x509.load_pem_x509_certificates(authority.read_bytes())
    return certificate.fingerprint(hashes.SHA256()).hex()[:16]


@attrs.frozen(slots=True)
class NssStore:
    """The database of a browser (NSS), changed by its own tool, certutil.

    :ivar folder: with ``cert9.db`` in it.
    """

    folder: Path

    @property
    def title(self) -> str:
        """Name for people."""
        return f"sql:{self.folder}"

    @staticmethod
    def name_of(authority: Path) -> str:
        """The name of a CA in the database."""
        return f"{ORGANIZATION} {fingerprint(authority)}"

    def ours(self) -> list[str]:
        """Names of all development CAs that are in it.

        :raises TrustFailed: certutil is missing or fails.
        """
        if not (self.folder / "cert9.db").exists():
            return []
        return _OURS.findall(self._run("-L"))

    def has(self, authority: Path) -> bool:
        """True where `authority` is in it.

        :raises TrustFailed: certutil is missing or fails.
        """
        return self.name_of(authority) in self.ours()

    def add(self, authority: Path) -> None:
        """Have the browser trust a CA for servers, and for nothing else.

        :raises TrustFailed: certutil is missing or fails.
        """
        if not (self.folder / "cert9.db").exists():
            _certutil()
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._run("-N", "--empty-password")
        if not self.has(authority):
            self._run("-A", "-t", "C,,", "-n", self.name_of(authority), "-i", str(authority))

    def remove(self, authority: Path) -> bool:
        """Take a CA out; whether it was in.

        :raises TrustFailed: certutil is missing or fails.
        """
        if not self.has(authority):
            return False
        self._run("-D", "-n", self.name_of(authority))
        return True

    def _run(self, *arguments: str) -> str:
        return _run(_certutil(), *arguments, "-d", self.title)


def nss_stores(home: Path) -> Iterator[NssStore]:
    """Databases of a user's browsers: Chrome's, there or not, and all others that are there."""
    yield NssStore(home / CHROME_DATABASE)
    for pattern in _DATABASES:
        for file in sorted(home.glob(pattern)):
            yield NssStore(file.parent)


@attrs.frozen(slots=True)
class SystemStore:
    """The certificates that programs on Debian and Ubuntu trust: curl, Python, Go and others.

    :ivar folder: of the machine's own certificates.
    :ivar options: of ``update-ca-certificates``.
    """

    folder: Path = LOCAL_CERTIFICATES
    options: Sequence[str] = ()

    def file_of(self, authority: Path) -> Path:
        """The file of a CA."""
        return self.folder / f"takotwist-{fingerprint(authority)}.crt"

    def has(self, authority: Path) -> bool:
        """True where `authority` is in it."""
        return self.file_of(authority).exists()

    def add_commands(self, authority: Path) -> list[list[str]]:
        """Commands that add a CA, as they are run.

        :raises TrustFailed: the system has no such store.
        """
        copy = ["install", "-m", "644", str(authority), str(self.file_of(authority))]
        return [[*_as_root(self.folder), *one] for one in (copy, self._update())]

    def remove_commands(self, authority: Path) -> list[list[str]]:
        """Commands that take a CA out, as they are run.

        :raises TrustFailed: the system has no such store.
        """
        # Without --fresh the link to a file that has gone may stay behind.
        update = [*self._update(), "--fresh"]
        remove = ["rm", "-f", str(self.file_of(authority))]
        return [[*_as_root(self.folder), *one] for one in (remove, update)]

    def _update(self) -> list[str]:
        program = shutil.which("update-ca-certificates") or shutil.which(
            "update-ca-certificates", path=_SBIN
        )
        if program is None or not self.folder.is_dir():
            raise TrustFailed(
                "this system has no update-ca-certificates: install the package ca-certificates"
                " (Debian, Ubuntu), or see what `tako trust` says for other systems"
            )
        return [program, *self.options]


def run(command: Sequence[str]) -> None:
    """Run a command of a store; what it asks, such as sudo for a password, is asked.

    :raises TrustFailed: it fails.
    """
    try:
        done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    except OSError as failure:
        raise TrustFailed(f"{command[0]} cannot be run: {failure.strerror}") from None
    if done.returncode != 0:
        raise TrustFailed(f"`{' '.join(command)}` failed")


def _as_root(folder: Path) -> list[str]:
    return [] if os.access(folder, os.W_OK) else ["sudo"]


def _certutil() -> str:
    found = shutil.which("certutil")
    if found is None:
        raise TrustFailed(
            "certutil is missing: install libnss3-tools (Debian, Ubuntu) or nss-tools (Fedora)"
        )
    return found


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise TrustFailed(f"certutil: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
