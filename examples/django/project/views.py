"""Logging in, and an order that moves on."""

from __future__ import annotations

from channels.orders import State, orders
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt


@csrf_exempt
def login(request: HttpRequest, user: str) -> HttpResponse:
    """Log in without a password, as examples do."""
    request.session["user"] = user
    return JsonResponse({"user": user})


@csrf_exempt
def state(request: HttpRequest, number: int) -> HttpResponse:
    """The order moves on: tell everybody who watches it."""
    moved = State(state=request.POST["state"])
    message = orders(number=number).publish_sync("state", moved)
    return JsonResponse({"id": message.id})
