"""The example's page, and something that the user is notified of."""

from __future__ import annotations

from pathlib import Path

from klein import Klein

from takotwist.live import Broadcast
from takotwist.streams.files import static_dir

site = Klein()


@site.route("/orders", methods=["POST"])
def order(request):
    # A real app takes the user from its session, as functions/notifications.py does.
    Broadcast.publish("notifications:ann", "Your order has been taken.")
    request.setResponseCode(204)
    return b""


@site.route("/", branch=True)
def files(request):
    return static_dir(Path(__file__).parent / "pages")
