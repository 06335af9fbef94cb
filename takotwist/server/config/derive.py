"""Values that follow from other values, and secrets that are kept in files of their own.

Rules: what is given explicitly is never changed here, an empty list included; a problem names
the file of a secret and the line, never what is in it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

import attrs

from takotwist.codecs.webhook import read_secret
from takotwist.server.config.endpoint_text import LONGEST_SOCKET_PATH, EndpointText
from takotwist.server.config.kind import Unfit
from takotwist.server.config.problems import Collected
from takotwist.server.config.setting import Values
from takotwist.server.config.text_file import decode_text
from takotwist.server.config.user_folder import user_data_folder
from takotwist.server.config.web_kind import TOKEN

#: Default of `tls.listen` with ``--tls``, or with a certificate.
TLS_DEFAULT = "tcp:8443"

#: The same where a certificate is obtained: where an authority connects to.
TLS_OF_DOMAINS = "tcp:443"

#: What a development CA has in its folder.  (Not taken from `tls.development_ca`,
#: which takes long to import, and most commands need none.)
AUTHORITY_KEY = "development-ca-key.pem"

#: The folder of definitions where none is named.
CHANNELS_FOLDER = "channels"

#: The folder of functions where none is named.
FUNCTIONS_FOLDER = "functions"

# files of secrets

#: A file with more than this is not one of ours.
LARGEST = 1_048_576


@attrs.frozen(slots=True)
class SecretFile:
    """The content of a file of secrets.

    :ivar secrets: one a line, without comments.
    :ivar warning: empty, or that others may read the file.
    """

    secrets: tuple[str, ...] = attrs.field(repr=False)
    warning: str = ""


def read_secret_file(path: Path) -> SecretFile:
    """Read a file that has one secret a line; empty lines and ``#`` lines do not count.

    :raises ValueError: says why it cannot be used, as it follows the key's name.
    """
    try:
        with path.open("rb") as stream:
            mode = stat.S_IMODE(path.stat().st_mode)
            content = stream.read(LARGEST + 1)
    except OSError as failure:
        raise ValueError(f"names {path}, which cannot be read: {failure.strerror}") from None
    if len(content) > LARGEST:
        raise ValueError(f"names {path}, which is larger than a file of secrets is")
    try:
        text = decode_text(content)
    except ValueError as bad:
        raise ValueError(f"names {path}, which {bad}") from None
    secrets: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        # One that was put together from several has a mark before each.
        line = line.strip().removeprefix("\ufeff")
        if not line or line.startswith("#"):
            continue
        try:
            secrets.append(TOKEN.read(line, path.parent))
        except Unfit as unfit:
            raise ValueError(f"names {path}, whose line {number} {unfit.needs}") from None
    warning = ""
    if mode & 0o004:
        warning = f"{path} holds secrets and everybody on this machine may read it: chmod 640"
    return SecretFile(tuple(secrets), warning)


# derived values


def derive(
    values: dict[str, object],
    sources: dict[str, str],
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    folder: Path,
    problems: Collected,
) -> list[str]:
    """Complete `values`.

    :param folder: what defaults are relative to.
    :return: warnings.
    """
    state_dir = _state_dir(values, sources, environ, folder)
    values.setdefault("replay.path", state_dir / "replay.sqlite")
    values.setdefault("tls.acme_folder", state_dir / "acme")
    values.setdefault("tokens.revoked_file", state_dir / "revoked-tokens")
    private_off = _private(values, state_dir)
    _tls(values, sources, flags)
    _development_ca(values, environ, state_dir)
    # With an app elsewhere that folder is the app's, and is asked for over HTTP.
    if not {"app.channels", "app.url"} & values.keys() and (folder / CHANNELS_FOLDER).is_dir():
        values["app.channels"] = folder / CHANNELS_FOLDER
    if "app.functions" not in values and (folder / FUNCTIONS_FOLDER).is_dir():
        values["app.functions"] = folder / FUNCTIONS_FOLDER
    return [
        warning
        for warning in (
            private_off,
            _token(values, sources, problems),
            _of_file(values, sources, problems, "publish.keys", "publish.keys_file"),
            _of_file(values, sources, problems, "tokens.secrets", "tokens.secrets_file"),
            _pusher(values, sources, problems),
            _webhooks(values, sources, problems),
        )
        if warning
    ]


def _state_dir(
    values: Values, sources: dict[str, str], environ: Mapping[str, str], folder: Path
) -> Path:
    if "state_dir" not in values:
        # systemd gives all folders of the unit, colons between them (systemd.exec(5)).
        given = environ.get("STATE_DIRECTORY", "").partition(":")[0]
        values["state_dir"] = Path(given) if given else folder / "state"
        if given:
            sources["state_dir"] = "environment STATE_DIRECTORY"
    state_dir: Path = values["state_dir"]
    return state_dir


def _private(values: Values, state_dir: Path) -> str | None:
    """The private socket's place, and nobody else's access to it."""
    default = EndpointText("unix", (str(state_dir / "private.sock"),))
    listen = values.get("private.listen")
    if listen is None:
        if len((default.path or "").encode()) > LONGEST_SOCKET_PATH:
            # A deep folder is no reason not to start; what is off is said.
            return (
                f"the private listener is off, because {default.path} is longer than the"
                f" {LONGEST_SOCKET_PATH} bytes that a socket's path may have: set private.listen"
            )
        listen = (str(default),)
    endpoints = [EndpointText.parse(text) for text in listen]
    values["private.listen"] = tuple(
        str(endpoint.with_option("mode", "600") if endpoint.path is not None else endpoint)
        for endpoint in endpoints
    )
    return None


def _tls(values: dict[str, object], sources: dict[str, str], flags: Mapping[str, object]) -> None:
    wanted = bool(flags.get("tls")) and not values.get("tls.listen")
    has_certificate = "tls.certificate" in values or "tls.key" in values
    if values.get("tls.domains") and "tls.listen" not in values:
        values["tls.listen"] = (TLS_OF_DOMAINS,)
        return
    if wanted or (has_certificate and "tls.listen" not in values):
        values["tls.listen"] = (TLS_DEFAULT,)
        if wanted:
            sources["tls.listen"] = "--tls"


def _development_ca(values: dict[str, object], environ: Mapping[str, str], state_dir: Path) -> None:
    """One a user; but where trust was given to one of this project's own, that one stays."""
    if "tls.development_ca" in values:
        return
    own = state_dir / "tls"
    keeps_own = "STATE_DIRECTORY" in environ or os.path.exists(own / AUTHORITY_KEY)
    shared = None if keeps_own else user_data_folder(environ)
    values["tls.development_ca"] = own if shared is None else shared


def _token(values: Values, sources: dict[str, str], problems: Collected) -> str | None:
    """The token out of its file, unless a stronger source says the token itself."""
    file = values.get("app.token_file")
    if file is None:
        return None
    source = sources["app.token_file"]
    if "app.token" in values:
        if _strength(sources["app.token"]) > _strength(source):
            return None
        if _strength(sources["app.token"]) == _strength(source):
            problems.add(
                "is said beside app.token; say one of them", key="app.token_file", source=source
            )
            return None
    try:
        read = read_secret_file(file)
        if len(read.secrets) != 1:
            raise ValueError(f"names {file}, which must hold one token on one line")
    except ValueError as bad:
        problems.add(str(bad), key="app.token_file", source=source)
        return None
    values["app.token"] = read.secrets[0]
    sources["app.token"] = source
    return read.warning


def _pusher(values: Values, sources: dict[str, str], problems: Collected) -> str | None:
    """The secrets of apps of Pusher's out of their files."""
    apps, warning = [], None
    for app in values.get("pusher.apps", ()):
        if app.secret_file is not None:
            try:
                read = read_secret_file(app.secret_file)
                if len(read.secrets) != 1:
                    raise ValueError(f"names {app.secret_file}, which must hold one secret")
            except ValueError as bad:
                problems.add(
                    f"has {app.name}.secret_file, which {bad}",
                    key="pusher.apps",
                    source=sources["pusher.apps"],
                )
                continue
            app = attrs.evolve(app, secret=read.secrets[0])
            warning = read.warning or warning
        apps.append(app)
    if apps:
        values["pusher.apps"] = tuple(apps)
    return warning


def _webhooks(values: Values, sources: dict[str, str], problems: Collected) -> str | None:
    """The secrets of endpoints out of their files."""
    endpoints, warning = [], None
    for one in values.get("webhooks.endpoints", ()):
        if one.secret_file is not None:
            try:
                read = read_secret_file(one.secret_file)
                if not read.secrets:
                    raise ValueError(f"names {one.secret_file}, which has no secret")
                for secret in read.secrets:
                    read_secret(secret)
            except ValueError as bad:
                problems.add(
                    f"has {one.name}.secret_file, which {bad}",
                    key="webhooks.endpoints",
                    source=sources["webhooks.endpoints"],
                )
                continue
            one = attrs.evolve(one, secrets=read.secrets)
            warning = read.warning or warning
        endpoints.append(one)
    if endpoints:
        values["webhooks.endpoints"] = tuple(endpoints)
    return warning


def _strength(source: str) -> int:
    """No flag says a token, because others see a process's flags: so two are left to compare."""
    return 1 if source.startswith("environment ") else 0


def _of_file(
    values: Values, sources: dict[str, str], problems: Collected, listed: str, in_file: str
) -> str | None:
    """The secrets of a file, after those of the list beside it."""
    file = values.get(in_file)
    if file is None:
        return None
    try:
        read = read_secret_file(file)
    except ValueError as bad:
        problems.add(str(bad), key=in_file, source=sources[in_file])
        return None
    values[listed] = tuple(dict.fromkeys((*values.get(listed, ()), *read.secrets)))
    return read.warning
