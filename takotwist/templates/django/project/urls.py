"""The project's addresses."""

from django.urls import path
from django.views.static import serve

from project import views
from project.settings import BASE_DIR

PAGES = {"document_root": BASE_DIR / "pages"}

urlpatterns = [
    path("login", views.login),
    path("me", views.me),
    path("announce/<str:room_id>", views.announce),
    # For development; in production the proxy in front serves the files.
    path("", serve, {**PAGES, "path": "index.html"}),
    path("<path:path>", serve, PAGES),
]
