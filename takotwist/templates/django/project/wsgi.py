"""The WSGI application: Django, and around it the endpoints that takotwist asks."""

import os

from django.core.wsgi import get_wsgi_application
from takotwist.app.wsgi import internal_app

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
# Django first: the channels may import its models.
django = get_wsgi_application()

from project.settings import BASE_DIR  # noqa: E402

application = internal_app(django, channels=BASE_DIR / "channels")
