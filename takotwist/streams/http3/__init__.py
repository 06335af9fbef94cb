"""HTTP/3 in our one reactor: a site's resources, and WebTransport, over QUIC.

Needs the extra ``webtransport`` (aioquic).  Read `server`, `endpoint`,
`connection`, `request` in this order and you have read it.
"""

from __future__ import annotations

from takotwist.streams.http3.config import AddressCheck, Http3Config
from takotwist.streams.http3.server import Http3Server, alt_svc

__all__ = ["AddressCheck", "Http3Config", "Http3Server", "alt_svc"]
