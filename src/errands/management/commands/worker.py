"""``manage.py worker``: run tasks until told to stop."""

import sys
from argparse import ArgumentParser
from functools import partial
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from errands.worker.misconfigured import WorkerBroken
from errands.worker.options import WorkerOptions, add_arguments
from errands.worker.saying import finish_saying, say
from errands.worker.streams import open_missing_streams
from errands.worker.supervisor import Supervisor


class Command(BaseCommand):
    """Run tasks."""

    # They import the whole site; the supervisor looks at what concerns it.
    requires_system_checks = ()
    help = "Run tasks until SIGTERM or Ctrl-C; --burst ends when none is left."

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # The base class keeps them.
        open_missing_streams()
        super().__init__(*args, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add an argument for each of ``WorkerOptions``."""
        add_arguments(parser)

    def handle(self, **options: Any) -> None:
        """Work, and count what was done."""
        try:
            told = WorkerOptions.of_command(options)
            tally = Supervisor(told, partial(say, self.stdout)).run()
        except (ValueError, ImproperlyConfigured, WorkerBroken) as error:
            raise CommandError(str(error)) from error
        say(self.stdout, f"{tally.succeeded} succeeded, {tally.failed} failed")
        finish_saying(sys.stdout, sys.stderr)
