"""The header by which a TLS site tells browsers of its HTTP/3 endpoint (RFC 7838)."""

from __future__ import annotations


def alt_svc(port: int, *, max_age: int = 86400) -> bytes:
    """The value of an ``Alt-Svc`` header.

    :param port: the UDP port of the HTTP/3 endpoint, on the same host name.
    :param max_age: seconds for which a browser may remember it.
    """
    if not 0 < port < 65536:
        raise ValueError(f"port must be 1 to 65535, not {port}")
    if max_age < 0:
        raise ValueError("max_age must not be negative")
    return b'h3=":%d"; ma=%d' % (port, max_age)
