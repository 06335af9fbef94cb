"""Where a UDP port is, as an operator writes it: ``udp:443:interface=192.0.2.1``.

The form of Twisted's endpoint strings, which know no UDP themselves.
Rule: what can be read can be given to `IReactorUDP.listenUDP` as it is.
"""

from __future__ import annotations

import attrs

from takotwist.server.config.endpoint_text import EndpointText


@attrs.frozen(slots=True)
class UdpAddress:
    """One UDP port.

    :ivar port: 0 where the system chooses.
    :ivar interface: an IP address; empty for every IPv4 one.
    """

    port: int
    interface: str

    @classmethod
    def parse(cls, text: str) -> UdpAddress:
        """Read and check.

        :raises ValueError: says what is wrong, as it follows the text.
        """
        if not text.startswith("udp:"):
            raise ValueError('must begin with udp:, such as "udp:8443"')
        # A TCP endpoint is written in the same way, but for the one option.
        endpoint = EndpointText.parse("tcp:" + text.removeprefix("udp:"))
        if "backlog" in endpoint.options:
            raise ValueError("has the option 'backlog', which udp has not")
        return cls(endpoint.port or 0, endpoint.interface or "")

    def __str__(self) -> str:
        interface = f":interface={self.interface.replace(':', chr(92) + ':')}"
        return f"udp:{self.port}" + (interface if self.interface else "")
