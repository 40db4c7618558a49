"""The Django app of the demo."""

from django.apps import AppConfig


class FlightsConfig(AppConfig):
    """Airlines, airports and flights."""

    name = "flights"
    default_auto_field = "django.db.models.BigAutoField"
