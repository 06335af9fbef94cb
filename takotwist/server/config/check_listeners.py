"""Checks of where the server listens: addresses, the certificate, HTTP/3, the private listener."""

from __future__ import annotations

from importlib.util import find_spec
from ipaddress import ip_address
from urllib.parse import urlsplit

from takotwist.server.config.config import Config
from takotwist.server.config.endpoint_text import LONGEST_SOCKET_PATH, EndpointText, UdpAddress
from takotwist.server.config.problems import Collected


def check_listeners(config: Config, problems: Collected, warnings: list[str]) -> None:
    """Find what does not fit together of all that is open to the network."""
    _check_addresses(config, problems, warnings)
    _check_certificate(config, problems, warnings)
    _check_http3(config, problems)


def _check_addresses(config: Config, problems: Collected, warnings: list[str]) -> None:
    taken: dict[str, str] = {}
    if not (config.http.listen or config.tls.listen):
        problems.add(
            "is empty and so is tls.listen: nothing would be served",
            key="http.listen",
            source=config.source("http.listen"),
        )
    for key, listen in (
        ("http.listen", config.http.listen),
        ("tls.listen", config.tls.listen),
        ("private.listen", config.private.listen),
    ):
        for text in listen:
            endpoint = EndpointText.parse(text)
            source = config.source(key)
            if text in taken and endpoint.port != 0:
                where = "twice" if taken[text] == key else f"and {taken[text]} has it too"
                problems.add(f"has {text} {where}", key=key, source=source)
            taken[text] = key
            if len((endpoint.path or "").encode()) > LONGEST_SOCKET_PATH:
                problems.add(
                    f"has a socket path of more than {LONGEST_SOCKET_PATH} bytes, which the system"
                    f" does not take: {endpoint.path}",
                    key=key,
                    source=source,
                )
    for text in config.private.listen:
        _check_private(config, EndpointText.parse(text), problems, warnings)


def _check_private(
    config: Config, endpoint: EndpointText, problems: Collected, warnings: list[str]
) -> None:
    """Check that no network reaches the private listener, whose clients may publish anything."""
    if endpoint.interface == "":
        problems.add(
            f"has {endpoint}, which every network would reach: add :interface=127.0.0.1",
            key="private.listen",
            source=config.source("private.listen"),
        )
    elif endpoint.interface and not ip_address(endpoint.interface.partition("%")[0]).is_loopback:
        warnings.append(
            f"private.listen has {endpoint}: whoever reaches it may publish without a key"
        )


def _check_certificate(config: Config, problems: Collected, warnings: list[str]) -> None:
    tls = config.tls
    if (tls.certificate is None) != (tls.key is None):
        has, lacks = ("key", "certificate") if tls.certificate is None else ("certificate", "key")
        problems.add(
            f"is said and tls.{lacks} is not; they go together",
            key=f"tls.{has}",
            source=config.source(f"tls.{has}"),
        )
    if not tls.is_development and tls.hosts:
        warnings.append("tls.hosts is for the development certificate and has no effect here")
    _check_domains(config, problems)
    if tls.is_development and tls.strict_transport_security:
        warnings.append(
            "tls.strict_transport_security is not sent with the development certificate: browsers"
            " would ask for TLS of everything else on localhost"
        )
    if config.http.redirect_to_tls and not (tls.listen or config.http.allowed_hosts):
        problems.add(
            "needs tls.listen, or, behind a proxy that has the certificate, http.allowed_hosts",
            key="http.redirect_to_tls",
            source=config.source("http.redirect_to_tls"),
        )
    if tls.certificate is not None and not tls.listen:
        warnings.append("tls.certificate has no effect, because tls.listen is empty")


def _check_domains(config: Config, problems: Collected) -> None:
    tls, source = config.tls, config.source("tls.domains")
    if not tls.domains:
        return
    if tls.certificate is not None or tls.key is not None:
        problems.add(
            "is said beside tls.certificate: obtain a certificate, or name one",
            key="tls.domains",
            source=source,
        )
    if not tls.listen:
        problems.add(
            "needs tls.listen, whose certificate is obtained", key="tls.domains", source=source
        )
    if find_spec("acme") is None:
        problems.add(
            "needs the acme package: pip install 'takotwist[acme]'",
            key="tls.domains",
            source=source,
        )
    if tls.acme_challenge == "http-01" and not config.http.listen:
        problems.add(
            "is http-01, which is answered by http.listen, and that is empty",
            key="tls.acme_challenge",
            source=config.source("tls.acme_challenge"),
        )
    if urlsplit(tls.acme_directory).scheme != "https":
        problems.add(
            "must be https, because who can change the answer can have certificates made",
            key="tls.acme_directory",
            source=config.source("tls.acme_directory"),
        )


def _check_http3(config: Config, problems: Collected) -> None:
    if not config.http3.listen:
        return
    source = config.source("http3.listen")
    if not config.tls.listen:
        problems.add(
            "needs tls.listen too, whose certificate it shows and whose answers announce it",
            key="http3.listen",
            source=source,
        )
    if find_spec("aioquic") is None:
        problems.add(
            "needs aioquic: pip install 'takotwist[webtransport]'",
            key="http3.listen",
            source=source,
        )
    ports = [text for text in config.http3.listen if UdpAddress.parse(text).port]
    for text in {text for text in ports if ports.count(text) > 1}:
        problems.add(f"has {text} twice", key="http3.listen", source=source)
