"""``manage.py worker``: run tasks until told to stop."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError

from errands.management import command
from errands.streams import finish_saying
from errands.worker.misconfigured import WorkerBroken
from errands.worker.options import WorkerOptions, add_arguments
from errands.worker.supervising.supervisor import Supervisor


class Command(command.Command):
    """Run tasks."""

    # They import the whole site; the supervisor looks at what concerns it.
    requires_system_checks = ()
    help = "Run tasks until SIGTERM or Ctrl-C; --burst ends when none is left."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add an argument for each of ``WorkerOptions``."""
        add_arguments(parser)

    def handle(self, **options: Any) -> None:
        """Work, and count what was done."""
        try:
            told = WorkerOptions.of_command(options)
            tally = Supervisor(told, self.say).run()
        except (ValueError, ImproperlyConfigured, WorkerBroken) as error:
            raise CommandError(str(error)) from error
        self.say(f"{tally.succeeded} succeeded, {tally.failed} failed")
        finish_saying(sys.stdout, sys.stderr)
