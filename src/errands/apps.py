"""The Django app."""

from importlib import import_module

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

# Importing them is what they are for: nothing else of them is used.
REGISTERING = ("errands.checks", "errands.queue.sweeps", "errands.runs.sweeps")


class ErrandsConfig(AppConfig):
    """Connects the rooms to Django when apps are ready."""

    name = "errands"
    label = "errands"
    verbose_name = _("errands")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register checks, receivers and sweeps."""
        for module in REGISTERING:
            import_module(module)
        from errands.reporting import mail
        from errands.runs import reconcile
        from errands.tasks import ending
        from errands.worker.embedding.development import start_with_runserver

        ending.connect()
        mail.connect()
        reconcile.connect()
        start_with_runserver()
