"""``[http]``, ``[tls]``, ``[http3]`` and ``[private]``: where the server listens, and to whom.

Rule: a default is safe on a small VPS that faces the internet; whatever opens
something wider is said by the operator.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Literal

import attrs

from takotwist.server.config.kind import Choice, Flag, Listed, Location, Text, Whole
from takotwist.server.config.setting import setting
from takotwist.server.config.web_kind import (
    DomainName,
    Endpoint,
    HeaderName,
    Host,
    HttpUrl,
    Origin,
    PrivateHost,
    Proxy,
    UdpEndpoint,
    UrlPath,
)


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
        """`True` where the certificate is one of the development CA."""
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
