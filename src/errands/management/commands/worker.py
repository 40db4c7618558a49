"""``manage.py worker``: run tasks until told to stop."""

from argparse import ArgumentParser
from dataclasses import fields
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from errands.worker.options import WorkerOptions
from errands.worker.supervisor import Supervisor, WorkerBroken


class Command(BaseCommand):
    """Run tasks."""

    help = "Run tasks until SIGTERM or Ctrl-C; --burst ends when none is left."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add an argument for each of ``WorkerOptions``."""
        add, defaults = parser.add_argument, WorkerOptions()
        add("--backend", default=defaults.backend, help="alias in TASKS")
        add("--queues", default=defaults.queues, help="in strict order: mail,default,*")
        for name, what in (("processes", "at a time"), ("threads", "in each process")):
            number = getattr(defaults, name)
            add(f"--{name}", type=int, default=number, metavar="N", help=what)
        add("--min-priority", type=int, metavar="P", help="leave what is below")
        add("--max-priority", type=int, metavar="P", help="leave what is above")
        add("--burst", action="store_true", help="end when nothing is left to do")
        add("--limit", type=int, metavar="N", help="end after N attempts")
        stopping = "seconds that running tasks have when the worker stops"
        add("--grace", type=float, default=defaults.grace, help=stopping)
        add("--name", default="", help="in results; default host:pid")
        add("--lifeline", action="store_true", help="stop when standard input ends")

    def handle(self, **options: Any) -> None:
        """Work, and count what was done."""
        told = {field.name: options[field.name] for field in fields(WorkerOptions)}
        try:
            tally = Supervisor(WorkerOptions(**told), self.stdout.write).run()
        except (ValueError, WorkerBroken) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{tally.succeeded} succeeded, {tally.failed} failed")
