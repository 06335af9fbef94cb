"""The sections of the configuration but for limits and channels, one class each.

Rule: a default is safe on a small VPS that faces the internet; whatever opens
something wider is said by the operator.

How long things live, in an operator's units: for every channel, or for one.

Rule: the bounds are those of `takotwist.core.channel.Lifecycle`, read from
there.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Literal

import attrs

from takotwist.core.channel import Lifecycle
from takotwist.server.config.kind import (
    Choice,
    Flag,
    Listed,
    Location,
    Number,
    Text,
    Whole,
    WholeOrAuto,
)
from takotwist.server.config.setting import setting
from takotwist.server.config.web_kind import (
    TOKEN,
    Definitions,
    DomainName,
    Endpoint,
    HeaderName,
    Host,
    HttpUrl,
    Origin,
    Pages,
    PrivateHost,
    Proxy,
    UdpEndpoint,
    UrlPath,
)


@attrs.frozen(kw_only=True)
class App:
    """The application that owns the channels."""

    url: str | None = setting(
        HttpUrl(),
        None,
        "Where the app answers that authorizes connections and handles frames, in any language."
        " Without it, channels are in this process.",
    )
    name: str = setting(
        Text(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", "1 to 63 of a-z, 0-9 and -, no - at the ends"),
        "app",
        "The app's name; requests to it carry the header Host: NAME.tako.",
    )
    token: str | None = setting(
        TOKEN,
        None,
        "The secret that server and app show each other. Better in token_file.",
        secret=True,
        live=True,
    )
    token_file: Path | None = setting(
        Location(), None, "A file that holds only the token.", live=True
    )
    channels: Path | str | None = setting(
        Definitions(),
        None,
        "The folder, file or dotted module with the channel definitions in Python.",
        derived='"channels" where there is such a folder',
        live=True,
    )
    functions: Path | str | None = setting(
        Definitions(),
        None,
        "The folder, file or dotted module with the functions that pages may call.",
        derived='"functions" where there is such a folder',
        live=True,
    )
    pages: Path | str | None = setting(
        Pages(),
        None,
        "What answers every other path: a folder of files, or module:name of a twisted.web"
        " resource or Klein app.",
    )
    ca_file: Path | None = setting(
        Location(),
        None,
        "Certificates (PEM) that an https app may be signed by, in place of the system's.",
    )
    dispatch: bool = setting(
        Flag(),
        True,
        "Whether the app at url takes what clients send. false: it has no such route, as apps"
        " on the Go SDK of the original system have none; what clients of its WebSocket channels"
        " send is published as it came, once the app let them publish.",
    )
    max_concurrency: int = setting(
        Whole(1, 10_000), 64, "Requests to the app at the same time.", unit="requests"
    )
    queue: int = setting(
        Whole(0, 1_000_000),
        10_000,
        "Questions that wait for their turn with the app, or with its functions in this"
        " process; one more is answered overloaded.",
        unit="questions",
    )
    deadline_seconds: float = setting(
        Number(0.1, 300),
        5.0,
        "How long an answer of the app may take, retries included, once it is its turn.",
        unit="seconds",
    )


#: Worker processes of one server; each connection id of QUIC names its worker in one byte.
MOST_WORKERS = 64


@attrs.frozen(kw_only=True)
class Server:
    """The processes of the server."""

    workers: int | Literal["auto"] = setting(
        WholeOrAuto(1, MOST_WORKERS),
        1,
        'Worker processes that serve, beside one that supervises them; "auto" is one for each'
        " CPU that the server may use. 1 is a single process and no supervisor.",
        unit="processes",
    )
    peer_listen: str | None = setting(
        Endpoint(),
        None,
        'Where this server listens for other servers on the same store, such as "tcp:7070:'
        'interface=10.0.0.5", in a network that only they can reach: they know each other by a'
        " secret in the store, but nothing is encrypted. Workers take the ports from there on, one"
        " each, and as many more while a rolling restart replaces them. Without it, workers of this"
        " machine listen for each other in the state folder, and nobody else.",
    )
    peer_url: str | None = setting(
        Text(r"[^\s/]+:[0-9]{1,5}", "host:port"),
        None,
        "How the other servers reach peer_listen, as host:port.",
        derived="the interface and port of peer_listen",
    )


@attrs.frozen(kw_only=True)
class Tokens:
    """Signed tokens (JWT), for channels and functions that no app is asked about."""

    channels: tuple[str, ...] = setting(
        Listed(Text(r"\*|[A-Za-z0-9][A-Za-z0-9._~:@-]{0,127}", 'a channel\'s name, or "*"')),
        (),
        "Channels that a token lets into, wherever they are defined; their verify, and the app at"
        ' app.url, are not asked. "*" is every channel but those of this file that are public.'
        " Needs pip install 'takotwist[tokens]'.",
        live=True,
    )
    functions: tuple[str, ...] = setting(
        Listed(Text(r"\*|[A-Za-z_][A-Za-z0-9_.-]{0,127}", 'a function\'s name, or "*"')),
        (),
        'Functions for pages that only a token may call. "*" is every function.',
        live=True,
    )
    audience: str = setting(
        Text(), "takotwist", "What a token's aud must be, or have in its list.", live=True
    )
    issuer: str | None = setting(
        Text(), None, "What a token's iss must be. Without it any is taken.", live=True
    )
    secrets: tuple[str, ...] = setting(
        Listed(TOKEN),
        (),
        "Secrets of at least 32 bytes that tokens are signed with (HS256). `tako token` signs"
        " with the first. Better in secrets_file.",
        secret=True,
        live=True,
    )
    secrets_file: Path | None = setting(
        Location(),
        None,
        "A file with one secret a line, in addition to secrets; # begins a comment.",
        live=True,
    )
    keys_file: Path | None = setting(
        Location(),
        None,
        "Public keys that tokens are signed by: PEM (PUBLIC KEY or CERTIFICATE), or a JSON Web Key"
        " Set. RSA keys are for RS256, ECDSA keys on P-256 for ES256, Ed25519 keys for EdDSA.",
        live=True,
    )
    jwks_url: str | None = setting(
        HttpUrl(),
        None,
        "Where an identity provider publishes its keys (JSON Web Key Set), over https or from this"
        " machine. Read at start, when jwks_refresh_seconds have passed, and when a token is"
        " signed by a key that is not in it.",
        live=True,
    )
    jwks_ca_file: Path | None = setting(
        Location(),
        None,
        "Certificates (PEM) that the host of jwks_url may be signed by, in place of the system's.",
        live=True,
    )
    jwks_refresh_seconds: float = setting(
        Number(10, 86_400),
        3600.0,
        "How often the keys at jwks_url are read again. While they cannot be read, those that"
        " were read last hold for a day.",
        unit="seconds",
        live=True,
    )
    claim: str = setting(
        Text(),
        "channels",
        "The claim with what a token allows. Some identity providers want a URL here.",
        live=True,
    )
    leeway_seconds: float = setting(
        Number(0, 300),
        30.0,
        "By how much the clocks of whoever makes tokens and of this machine may differ; for so"
        " long after its end a token still counts.",
        unit="seconds",
        live=True,
    )
    revoked_file: Path = setting(
        Location(),
        Path(),
        "A file with a time in unix seconds and a subject on each line, whose tokens of before"
        " that time are void. `tako token revoke` writes it, and it is watched.",
        derived="STATE_DIR/revoked-tokens",
        live=True,
    )

    @property
    def wanted(self) -> bool:
        """`True` if tokens decide about anything."""
        return bool(self.channels or self.functions)

    def decides(self, channel: str) -> bool:
        """`True` if tokens decide about a channel that is not public."""
        return channel in self.channels or "*" in self.channels

    def decides_call(self, function: str) -> bool:
        """`True` if tokens decide about a function."""
        return function in self.functions or "*" in self.functions


@attrs.frozen(kw_only=True)
class Http:
    """The public listeners without TLS, and what holds for public requests."""

    listen: tuple[str, ...] = setting(
        Listed(Endpoint()),
        ("tcp:8080",),
        "Where plain HTTP is served. An empty list serves none.",
    )
    base_paths: tuple[str, ...] = setting(
        Listed(UrlPath(), least=1),
        ("/_tako/channels/", "/channels/"),
        "Paths under which the channels are served; each answers the same.",
    )
    allowed_origins: tuple[str, ...] = setting(
        Listed(Origin()),
        (),
        "Pages of which origins may connect. Empty: only pages of the same origin."
        ' "*" is every page there is.',
        live=True,
    )
    allowed_headers: tuple[str, ...] = setting(
        Listed(HeaderName()),
        (),
        "Headers that pages of the allowed origins may send beside those of the protocol and"
        " those of tracing (traceparent, baggage, sentry-trace, x-datadog-* and the like).",
        live=True,
    )
    allowed_hosts: tuple[str, ...] = setting(
        Listed(Host()),
        (),
        "Hosts that a request may name, beside localhost and addresses; *.example.com is all"
        ' below it, "*" is every host. Empty: every host, but for requests from this machine'
        " that came through no trusted proxy, and with the development certificate; there it is"
        " those of tls.hosts, tls.domains and allowed_origins, because a page may have its own name"
        " lead here (DNS rebinding).",
        live=True,
    )
    redirect_to_tls: bool = setting(
        Flag(),
        False,
        "Answer what comes without TLS with 308 and the https address, health and ACME's"
        " challenges excepted, and what a trusted proxy had by TLS. Only to hosts of the"
        " certificate, of allowed_hosts and of allowed_origins.",
    )
    trusted_proxies: tuple[IPv4Network | IPv6Network | Literal["unix"], ...] = setting(
        Listed(Proxy()),
        (),
        "Addresses whose X-Forwarded-For is believed. Empty: nobody's.",
        live=True,
    )


@attrs.frozen(kw_only=True)
class Tls:
    """The public listeners with TLS."""

    listen: tuple[str, ...] = setting(
        Listed(Endpoint()),
        (),
        "Where HTTPS is served, as plain endpoint strings.",
        derived='["tcp:443"] with domains, ["tcp:8443"] with --tls or a certificate, else empty',
    )
    certificate: Path | None = setting(
        Location(),
        None,
        "The certificate and its chain (PEM). Read again when the file changes."
        " Without it, a development CA and a certificate for localhost are made.",
    )
    key: Path | None = setting(Location(), None, "The certificate's private key (PEM).")
    domains: tuple[str, ...] = setting(
        Listed(DomainName()),
        (),
        "Names for which a certificate is obtained by ACME, and renewed, while the server runs, in"
        " place of certificate and key. To name them is to agree to the authority's terms."
        " Needs pip install 'takotwist[acme]'.",
    )
    email: str | None = setting(
        Text(r"[^\s@,]+@[^\s@,]+", "one mail address"),
        None,
        "Where the authority may write to about the certificate.",
    )
    acme_directory: str = setting(
        HttpUrl(),
        "https://acme-v02.api.letsencrypt.org/directory",
        "The authority: the https URL of its ACME directory.",
    )
    acme_ca_file: Path | None = setting(
        Location(),
        None,
        "Certificates (PEM) that the authority's own server may be signed by, in place of the"
        " usual.",
    )
    acme_challenge: Literal["any", "tls-alpn-01", "http-01"] = setting(
        Choice(("any", "tls-alpn-01", "http-01")),
        "any",
        "How the names are proved: by a connection to port 443 (tls-alpn-01), by a request to"
        " port 80 (http-01), or one after the other until one works.",
    )
    acme_folder: Path = setting(
        Location(),
        Path(),
        "Where account, certificate and key are kept (mode 600). Servers that share it obtain one"
        " certificate together.",
        derived="STATE_DIR/acme",
    )
    profile: Literal["intermediate", "modern"] = setting(
        Choice(("intermediate", "modern")),
        "intermediate",
        '"intermediate" is TLS 1.2 and 1.3 with forward secrecy; "modern" is TLS 1.3 only.',
    )
    public_port: int = setting(
        Whole(0, 65535),
        0,
        "The port by which clients reach TLS, where another than the first of listen; for"
        " http.redirect_to_tls.",
        unit="TCP port",
        derived="that of the first of listen, else 443",
    )
    strict_transport_security: str | None = setting(
        Text(
            r"max-age=[0-9]{1,10}(; ?includeSubDomains)?(; ?preload)?",
            'such as "max-age=31536000" or "max-age=31536000; includeSubDomains"',
        ),
        None,
        "Strict-Transport-Security of answers over TLS: for so many seconds browsers come by TLS"
        " alone. Not sent with the development certificate.",
    )
    hosts: tuple[str, ...] = setting(
        Listed(PrivateHost()),
        (),
        "Private names and addresses, beside localhost, that the development certificate is for.",
    )
    development_ca: Path | None = setting(
        Location(),
        None,
        "The folder of the development CA, which all projects of a user share so that trust is"
        " given once. A CA that is in the state folder already stays in use, and a service"
        " of systemd keeps its own there.",
        derived="$XDG_DATA_HOME/takotwist, else ~/.local/share/takotwist, else STATE_DIR/tls",
    )

    @property
    def is_development(self) -> bool:
        """Whether the certificate is one of the development CA."""
        return self.certificate is None and not self.domains


@attrs.frozen(kw_only=True)
class Http3:
    """The public listeners over QUIC: HTTP/3, and channels over WebTransport."""

    listen: tuple[str, ...] = setting(
        Listed(UdpEndpoint()),
        (),
        "UDP ports, such as udp:8443, with the certificate of [tls], whose answers announce the"
        " first of them (Alt-Svc). Needs pip install 'takotwist[webtransport]'.",
    )


@attrs.frozen(kw_only=True)
class Private:
    """The private listener: publish without a key, health, metrics, admin."""

    listen: tuple[str, ...] = setting(
        Listed(Endpoint()),
        (),
        "Where it is served: a Unix socket (mode 600 unless said otherwise) or a loopback port.",
        derived='["unix:STATE_DIR/private.sock:mode=600"]',
    )
    allowed_hosts: tuple[str, ...] = setting(
        Listed(Host()),
        (),
        "Hosts that a request to a port may name, beside localhost and the address that it came"
        " to, such as the name of a container. Written as http.allowed_hosts.",
        live=True,
    )
    allowed_origins: tuple[str, ...] = setting(
        Listed(Origin()),
        (),
        "Pages of which origins may use it. Empty: none, not even one of its own address.",
        live=True,
    )


@attrs.frozen(kw_only=True)
class Publish:
    """Publishing over the public listeners."""

    keys: tuple[str, ...] = setting(
        Listed(TOKEN),
        (),
        "Publish keys; `tako keys new` makes one. Without any, nobody publishes over the public"
        " listeners.",
        secret=True,
        live=True,
    )
    keys_file: Path | None = setting(
        Location(),
        None,
        "A file with one key a line, in addition to keys; # begins a comment.",
        live=True,
    )
    rate: float = setting(
        Number(0, 1e6),
        0.0,
        "Messages a second that one key may publish; 0 is no limit.",
        unit="messages a second",
        live=True,
    )
    burst: int = setting(
        Whole(1, 1_000_000),
        1_000,
        "Messages that may come at once before that rate holds.",
        unit="messages",
        live=True,
    )
    stream_idle_seconds: float = setting(
        Number(1, 366 * 86_400),
        3600.0,
        "How long an NDJSON publish may be quiet; then a last line says that it is over.",
        unit="seconds",
        live=True,
    )
    stream_seconds: float = setting(
        Number(1, 366 * 86_400),
        86_400.0,
        "How long an NDJSON publish may go on in all.",
        unit="seconds",
        live=True,
    )


@attrs.frozen(kw_only=True)
class Replay:
    """The replay log."""

    path: Path = setting(
        Location(), Path(), "The database file.", derived="STATE_DIR/replay.sqlite"
    )
    url: str | None = setting(
        Text(
            r"postgres(ql)?://[^\x00-\x20\x7f]+",
            "an address such as postgresql://host/database",
        ),
        None,
        "A PostgreSQL that several servers share, in place of the file. Keys of libpq may follow as"
        " a query, such as ?sslmode=verify-full. Needs pip install 'takotwist[postgres]'.",
        secret=True,
    )
    schema: str = setting(
        Text(r"[a-z_][a-z0-9_]{0,40}", "a name of at most 41 of a-z, 0-9 and _, no digit first"),
        "takotwist",
        "The schema in that database in which everything is. It is made where it is missing.",
    )
    connect_timeout_seconds: float = setting(
        Number(0.1, 300),
        5.0,
        "How long a connection to one address of PostgreSQL may take.",
        unit="seconds",
    )
    statement_timeout_seconds: float = setting(
        Number(0.1, 300),
        5.0,
        "How long PostgreSQL may take for one call. A publish is refused (store-unavailable) after"
        " this and the time for a connection at the latest.",
        unit="seconds",
    )
    durability: Literal["commit", "power"] = setting(
        Choice(("commit", "power")),
        "commit",
        'What an acknowledged message survives: "commit" the death of the process,'
        ' "power" also that of the machine, at about a tenth of the speed for single messages.'
        ' With PostgreSQL "commit" is what its synchronous_commit says; "power" turns that on'
        " where it is off.",
    )
    sweep_interval_seconds: float = setting(
        Number(0.1, 3600),
        1.0,
        "How often old messages are removed; a window may be exceeded by that much.",
        unit="seconds",
    )


@attrs.frozen(kw_only=True)
class Log:
    """The server's own log."""

    format: str = setting(
        Choice(("text", "json")), "text", "One readable line an event, or one JSON object."
    )
    level: str = setting(
        Choice(("debug", "info", "warn", "error", "critical")),
        "info",
        "The least that is written.",
        live=True,
    )


def _seconds(name: str, meaning: str) -> float:
    least, most = Lifecycle.BOUNDS[name + "_ms"]
    value: float = setting(
        Number(least / 1000, most / 1000),
        getattr(Lifecycle(), name + "_ms") / 1000,
        meaning,
        unit="seconds",
        live=True,
    )
    return value


def _count(name: str, meaning: str, unit: str) -> int:
    value: int = setting(
        Whole(*Lifecycle.BOUNDS[name]), getattr(Lifecycle(), name), meaning, unit=unit, live=True
    )
    return value


@attrs.frozen(kw_only=True)
class LifecycleDefaults:
    """Defaults of channels that do not say otherwise, wherever they are defined."""

    replay_window_seconds: float = _seconds(
        "replay_window", "How far back a client may resume. Older messages are removed."
    )
    replay_max_messages: int = _count(
        "replay_max_messages", "The most messages of one topic that are kept.", "messages"
    )
    replay_max_bytes: int = _count(
        "replay_max_bytes", "The most bytes of one topic that are kept.", "bytes"
    )
    inactivity_ttl_seconds: float = _seconds(
        "inactivity_ttl",
        "A topic without publishes and subscribers for that long is dropped; 0 is never.",
    )
    keepalive_interval_seconds: float = _seconds(
        "keepalive_interval", "How often an idle connection gets a sign of life."
    )
    max_connection_lifetime_seconds: float = _seconds(
        "max_connection_lifetime",
        "After that long a connection is ended, and its client comes back; 0 is never.",
    )

    def lifecycle(self) -> Lifecycle:
        """The same as the rest of the program counts it."""
        return over(Lifecycle(), attrs.asdict(self))


def over(lifecycle: Lifecycle, said: dict[str, float | int]) -> Lifecycle:
    """`lifecycle` with what a section says of the keys above; other keys are left alone."""
    changed: dict[str, int] = {}
    for name in Lifecycle.BOUNDS:
        key = name.removesuffix("_ms") + "_seconds" if name.endswith("_ms") else name
        if key in said:
            value = said[key]
            changed[name] = round(value * 1000) if name.endswith("_ms") else int(value)
    return attrs.evolve(lifecycle, **changed) if changed else lifecycle
