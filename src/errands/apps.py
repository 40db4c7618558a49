"""The Django app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ErrandsConfig(AppConfig):
    """Connects the rooms to Django when apps are ready."""

    name = "errands"
    label = "errands"
    verbose_name = _("errands")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register checks, receivers and sweeps."""
        import errands.runs.sweeps  # noqa: F401 - both register sweeps
        from errands import checks  # noqa: F401 - registers the system checks
        from errands.reporting import mail
        from errands.runs import reconcile
        from errands.worker.development import start_with_runserver

        mail.connect()
        reconcile.connect()
        start_with_runserver()
