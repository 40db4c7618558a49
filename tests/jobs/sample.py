"""Jobs that the tests start."""

from collections.abc import Callable
from datetime import date
from typing import Any, ClassVar

from django.utils.translation import gettext_lazy as _

from errands import Download, Job, Message, exponential
from tests.testapp.models import Account


class AccountReport(Job):
    """One account as a few lines of CSV."""

    title = _("Yes")  # Django translates it: "Ja"

    def perform(self, account: Account, *, since: date | None = None) -> Download:
        """Write two lines."""
        with self.results.open("orders.csv") as file:
            for number in self.track(range(2), title="Writing orders"):
                file.write(f"{account.name},{number}\r\n")
        self.log("2 rows written")
        return Download("orders.csv")


class Scripted(Job):
    """Do what a test says."""

    script: ClassVar[Callable[["Scripted"], Any]]

    def perform(self) -> Any:
        """Play the script."""
        return type(self).script(self)


class Retried(Job):
    """Fail once, then succeed."""

    max_attempts = 2
    backoff = exponential(first=0, cap=0)

    def perform(self) -> Message:
        """Fail in the first attempt."""
        if self.run.attempt == 1:
            raise LookupError("secret")
        return Message("in the end")


class Guarded(Scripted):
    """A job that takes a permission."""

    permission_required = "auth.view_group"


class Immediate(Scripted):
    """A job that is performed where it is started."""

    backend = "immediate"


class Once(Scripted):
    """A job whose second click returns the open run."""

    unique: ClassVar[tuple[str, ...]] = ("owner", "arguments")

    def perform(self, number: int = 0) -> None:
        """Do nothing."""


class OnceForAll(Once):
    """A job that everybody shares."""

    unique = ("arguments",)


class Base(Job):
    """A base of other jobs."""

    abstract = True

    def perform(self) -> None:
        """Do nothing."""


class Concrete(Base):
    """A job made from the base."""
