"""Checks of values that are right alone and wrong together, or probably not meant.

Rule: a problem is something that cannot work; whatever works, however unwise,
is a warning.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from pwd import getpwuid
from stat import S_ISDIR, S_ISREG
from urllib.parse import urlsplit

from takotwist.core.counted import counted
from takotwist.errors import ConfigError
from takotwist.server.config.check_listeners import check_listeners
from takotwist.server.config.config import KEYS, Config
from takotwist.server.config.problems import Collected
from takotwist.server.config.pusher import CHANNEL
from takotwist.tls.certificate import as_address

#: Shorter than this, a key can be guessed by trying.
SHORTEST_SAFE_KEY = 20

_AT_LEAST = (
    ("limits.outbox_bytes", "limits.max_message_bytes"),
    ("limits.max_body_bytes", "limits.max_message_bytes"),
    ("limits.pending_append_bytes", "limits.max_message_bytes"),
    ("lifecycle.replay_max_bytes", "limits.max_message_bytes"),
    ("limits.tail_total_bytes", "limits.tail_bytes"),
    ("limits.max_topic_bytes_per_connection", "limits.max_topic_bytes"),
    ("limits.max_topic_bytes_total", "limits.max_topic_bytes_per_connection"),
)


def check(config: Config, problems: Collected) -> list[str]:
    """Find what does not fit together.

    :return: warnings.
    """
    warnings: list[str] = []
    check_listeners(config, problems, warnings)
    _check_replay(config, problems)
    _check_files(config, problems)
    _check_app(config, problems, warnings)
    _check_tokens(config, problems, warnings)
    _check_pusher(config, problems)
    _check_streams(config, problems)
    _check_sizes(config, problems)
    _warn_of_reach(config, warnings)
    return warnings


def _check_replay(config: Config, problems: Collected) -> None:
    """Check the address of PostgreSQL, which only libpq can read."""
    if config.replay.url is None:
        return
    source = config.source("replay.url")
    try:
        from takotwist.adapters.postgres.address import Address

        Address.of(config.replay.url)
    except ImportError:
        # Also where psycopg is there and finds no libpq.
        problems.add(
            "needs psycopg: pip install 'takotwist[postgres]'", key="replay.url", source=source
        )
    except ConfigError as bad:
        problems.add(bad.reason, key="replay.url", source=source)


def _check_files(config: Config, problems: Collected) -> None:
    for key, path in (
        ("tls.certificate", config.tls.certificate if config.tls.listen else None),
        ("tls.key", config.tls.key if config.tls.listen else None),
        ("tls.acme_ca_file", config.tls.acme_ca_file),
        ("app.ca_file", config.app.ca_file),
        ("tokens.keys_file", config.tokens.keys_file),
        ("tokens.jwks_ca_file", config.tokens.jwks_ca_file),
    ):
        fault = None if path is None else _fault_of_file(path)
        if fault is not None:
            problems.add(f"names {path}, which {fault}", key=key, source=config.source(key))
    fault = _fault_of_folder(config.state_dir)
    if fault is not None:
        problems.add(
            f"names {config.state_dir}, which {fault}",
            key="state_dir",
            source=config.source("state_dir"),
        )
    if config.replay.url is None and os.path.isdir(config.replay.path):
        problems.add(
            f"names {config.replay.path}, which is a folder and no file",
            key="replay.path",
            source=config.source("replay.path"),
        )


def _fault_of_file(path: Path) -> str | None:
    """The reason why it cannot be read; `None` where it may be."""
    try:
        return None if S_ISREG(path.stat().st_mode) else "is no file"
    except FileNotFoundError:
        return "is no file"
    except OSError as failure:
        return f"cannot be looked at: {failure.strerror}"


def _fault_of_folder(path: Path) -> str | None:
    """The reason why nothing can be kept in it; `None` where it can, or where it could be made."""
    try:
        is_folder = S_ISDIR(path.stat().st_mode)
    except FileNotFoundError:
        return None
    except OSError as failure:
        return f"cannot be looked at: {failure.strerror}"
    if not is_folder:
        return "is no folder"
    if not os.access(path, os.X_OK):
        return f"the user {_user()} may not enter"
    return None


def _user() -> str:
    """The user of this process, by name where there is one."""
    try:
        return getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _check_app(config: Config, problems: Collected, warnings: list[str]) -> None:
    app = config.app
    if app.url is None:
        if app.channels is None and not config.channels:
            warnings.append(
                f"no channel is defined: make the folder {config.folder / 'channels'}, or define"
                " one in the file, or set app.url"
            )
        return
    if app.token is None:
        problems.add(
            "is missing: server and app show each other a secret; set it or app.token_file",
            key="app.token",
            source=config.source("app.url"),
        )
    if not _is_safe(app.url):
        warnings.append("app.url is http to another machine: credentials cross the network open")


def _check_tokens(config: Config, problems: Collected, warnings: list[str]) -> None:
    tokens = config.tokens
    has_keys = bool(tokens.secrets or tokens.keys_file or tokens.jwks_url)
    if not tokens.wanted:
        if has_keys:
            warnings.append(
                "tokens has keys and no effect, because tokens.channels and tokens.functions"
                " are empty"
            )
        return
    key = "tokens.channels" if tokens.channels else "tokens.functions"
    source = config.source(key)
    if find_spec("jwt") is None:
        problems.add("needs PyJWT: pip install 'takotwist[tokens]'", key=key, source=source)
    if not has_keys:
        problems.add(
            "needs keys that tokens are signed by: tokens.secrets_file, tokens.keys_file or"
            " tokens.jwks_url",
            key=key,
            source=source,
        )
    for one in config.channels:
        name = one.definition.name
        if name in tokens.channels and not one.definition.verified:
            problems.add(
                f"names {name}, which says public = true", key="tokens.channels", source=source
            )
    url = tokens.jwks_url or "https:"
    if url.startswith("unix:") or not _is_safe(url):
        problems.add(
            "must be https or lead to this machine, because who can change the answer can make"
            " tokens",
            key="tokens.jwks_url",
            source=config.source("tokens.jwks_url"),
        )


def _check_pusher(config: Config, problems: Collected) -> None:
    pusher = config.pusher
    if not pusher.apps:
        if pusher.map:
            problems.add(
                "needs an app: [pusher.apps.NAME]",
                key="pusher.map",
                source=config.source("pusher.map"),
            )
        return
    # Here, because most servers need none of it.
    from takotwist.server.pusher_apps import pusher_apps

    try:
        pusher_apps(pusher)
    except ConfigError as bad:
        problems.add(bad.reason, key=bad.key, source=config.source(bad.key or "pusher.apps"))
    most = config.limits.max_message_bytes
    if pusher.max_event_bytes > most:
        problems.add(
            f"must be at most limits.max_message_bytes, which is {most}",
            key="pusher.max_event_bytes",
            source=config.source("pusher.max_event_bytes", "limits.max_message_bytes"),
        )
    if any(one.definition.name == CHANNEL for one in config.channels):
        problems.add(
            "is the channel of names without a rule, where the Pusher protocol is configured",
            key=f"channels.{CHANNEL}",
            source=config.source("pusher.apps"),
        )


def _check_streams(config: Config, problems: Collected) -> None:
    path = config.streams.path + "/"
    if not config.streams.path:
        return
    taken = [*config.http.base_paths, "/_tako/"]
    if config.pusher.apps:
        taken += [f"{config.pusher.path}/app/", f"{config.pusher.path}/apps/"]
    for other in taken:
        if path.startswith(other) or other.startswith(path):
            problems.add(
                f"meets {other}, under which something else is served",
                key="streams.path",
                source=config.source("streams.path"),
            )
    for larger in ("streams.max_stream_bytes", "limits.max_body_bytes"):
        most = config.value(KEYS[larger])
        if config.streams.max_append_bytes > most:
            problems.add(
                f"must be at most {larger}, which is {most}",
                key="streams.max_append_bytes",
                source=config.source("streams.max_append_bytes", larger),
            )


def _is_safe(url: str) -> bool:
    """`True` if nobody between here and there can read or change what is said."""
    return urlsplit(url).scheme != "http" or _is_here(url)


def _is_here(url: str) -> bool:
    """`True` if a URL leads to this machine."""
    host = urlsplit(url).hostname or ""
    address = as_address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _check_sizes(config: Config, problems: Collected) -> None:
    for larger, smaller in _AT_LEAST:
        least = config.value(KEYS[smaller])
        if config.value(KEYS[larger]) < least:
            problems.add(
                f"must be at least {smaller}, which is {least}",
                key=larger,
                source=config.source(larger, smaller),
            )


def _warn_of_reach(config: Config, warnings: list[str]) -> None:
    if "*" in config.http.allowed_origins:
        warnings.append('http.allowed_origins has "*": every page may connect, as its visitor')
    if any(one != "unix" and one.prefixlen == 0 for one in config.http.trusted_proxies):
        warnings.append("http.trusted_proxies is everybody: a client may say it is any address")
    for number, key in enumerate(config.publish.keys, 1):
        if len(key) < SHORTEST_SAFE_KEY:
            warnings.append(
                f"publish key {number} has only {counted(len(key), 'character')};"
                " `tako keys new` makes a better one"
            )
