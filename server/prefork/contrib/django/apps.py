"""What Django knows of this application. Runs in: whatever loads Django. Must not know: the command."""

from __future__ import annotations

from django.apps import AppConfig


class PreforkConfig(AppConfig):
    """Only a command; no models."""

    name = "prefork.contrib.django"
    label = "prefork"
    verbose_name = "prefork"
