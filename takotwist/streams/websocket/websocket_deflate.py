"""Agreeing on permessage-deflate (RFC 7692, section 7.1).

Rule: an offer that is malformed, or that we cannot meet, is declined and not an
error; the connection then goes without compression.
"""

from __future__ import annotations

from typing import Any

from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept

from takotwist.streams.websocket.config import Deflate

EXTENSION = "permessage-deflate"


def agree(
    offers: list[tuple[str, dict[str, list[Any]]]], config: Deflate, max_message_size: int
) -> tuple[dict[str, list[Any]], Any] | None:
    """The first offer that can be met.

    :param offers: extensions with their parameters, as the client lists them.
    :return: the parameters offered, and Autobahn's acceptance; `None` to go without.
    """
    for extension, params in offers:
        if extension != EXTENSION:
            continue
        try:
            offer = PerMessageDeflateOffer.parse(params)
        except Exception:
            # Autobahn raises the bare class for every malformed offer.
            continue
        server_bits = min(config.server_max_window_bits, offer.request_max_window_bits or 15)
        client_bits = 0
        if offer.accept_max_window_bits and config.client_max_window_bits < 15:
            hint = params["client_max_window_bits"][0]
            client_bits = config.client_max_window_bits
            if hint is not True:
                client_bits = min(client_bits, int(hint))
        # The acceptance announces only what the offer asked for.  Whatever we
        # use beyond that is announced too, by accepting it as if it was asked.
        asked = PerMessageDeflateOffer(
            offer.accept_no_context_takeover,
            offer.accept_max_window_bits,
            offer.request_no_context_takeover or not config.server_context_takeover,
            server_bits if server_bits < 15 or offer.request_max_window_bits else 0,
        )
        return params, PerMessageDeflateOfferAccept(
            asked,
            request_no_context_takeover=not config.client_context_takeover,
            request_max_window_bits=client_bits,
            mem_level=config.memory_level,
            max_message_size=max_message_size,
        )
    return None
