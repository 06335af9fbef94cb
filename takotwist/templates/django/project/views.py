"""Logging in, and publishing from the app."""

import json

from channels.chat import Msg, chat
from django.http import JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST


@csrf_exempt
@require_POST
def login(request):
    """Log in without a password; your project has its users."""
    # A form of another site cannot send this content type, so it cannot log anybody in.
    if request.content_type != "application/json":
        return JsonResponse({"error": "JSON is wanted"}, status=415)
    try:
        name = json.loads(request.body)["name"]
    except (ValueError, KeyError, TypeError):
        name = None
    if not isinstance(name, str) or not 1 <= len(name) <= 40:
        return JsonResponse({"error": "a name is wanted"}, status=400)
    request.session["name"] = name
    return JsonResponse({"name": name})


@never_cache
def me(request):
    return JsonResponse({"name": request.session.get("name")})


@csrf_exempt
@require_POST
def announce(request, room_id):
    """Publish from the app: `curl -X POST http://127.0.0.1:3000/announce/lobby`."""
    message = chat(room_id=room_id).publish_sync("msg", Msg(text="Hello!", author="the app"))
    return JsonResponse({"id": message.id})
