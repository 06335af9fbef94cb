"""The project's addresses."""

from __future__ import annotations

from django.urls import path

from project import views

urlpatterns = [
    path("login/<str:user>", views.login),
    path("orders/<int:number>/state", views.state),
]
