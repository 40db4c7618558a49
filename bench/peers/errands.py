"""Ours."""

from typing import ClassVar

from bench.peers.django_site import PERSISTENT, DjangoPeer, calls
from bench.peers.peer import python


class Errands(DjangoPeer):
    """The database backend, and ``manage.py worker``."""

    name = "errands"
    engines = ("postgresql", "sqlite", "mysql")
    fair: ClassVar = (
        f"`worker --processes N`, otherwise its defaults (5 threads); {PERSISTENT}; "
        "every result kept; no receiver of signals but Django's log and ours"
    )
    apps = ("errands", "bench")
    django_settings = {
        "TASKS": {"default": {"BACKEND": "errands.queue.DatabaseBackend"}},
        "ERRANDS": {"IMPORTS": ["bench.errands_tasks"]},
        "ROOT_URLCONF": "bench.urls",
    }
    is_threaded = True
    drained = 60_000
    is_quick = True
    tables = ("errands_task", "errands_result")
    open_tasks = "SELECT count(*) FROM errands_task"

    def prepare(self) -> None:
        """Find the task."""
        from bench.errands_tasks import nothing

        self.nothing = nothing

    def enqueue_many(self, number: int) -> None:
        """Call ``enqueue_many`` once."""
        self.nothing.enqueue_many(calls(number))

    def workers(self, processes: int) -> list[list[str]]:
        """One supervisor with so many processes."""
        return [python("-m", "django", "worker", "--processes", str(processes))]
