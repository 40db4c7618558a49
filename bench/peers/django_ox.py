"""django-ox: leases, retries and a reaper, on any of Django's databases."""

from typing import ClassVar

from bench.peers.django_site import PERSISTENT, DjangoPeer, calls
from bench.peers.peer import THREADS, python


class DjangoOx(DjangoPeer):
    """``ox_worker``, and ``enqueue_many`` for bulk."""

    name = "django-ox"
    engines = ("postgresql", "sqlite")
    fair: ClassVar = (
        "`ox_worker --processes N --concurrency 1 --interval 0.1` (its default polls "
        "each 1 s; 1 thread or 5, one run each); "
        f"{PERSISTENT}; results kept; `enqueue_many`"
    )
    apps = ("django_ox",)
    django_settings = {"TASKS": {"default": {"BACKEND": "django_ox.backend.OxBackend"}}}
    is_threaded = True
    drained = 1_500
    tables = ("django_ox_oxtask",)
    open_tasks = (
        "SELECT count(*) FROM django_ox_oxtask "
        "WHERE status IN ('READY', 'WAITING', 'RUNNING')"
    )

    def enqueue_many(self, number: int) -> None:
        """Call its ``enqueue_many`` once."""
        from django_ox.bulk import enqueue_many

        enqueue_many(self.nothing, calls(number))

    def workers(self, processes: int) -> list[list[str]]:
        """One supervisor with so many processes."""
        return self._worker(processes, threads=1)

    def threaded_workers(self) -> list[list[str]]:
        """The same, with its default of threads."""
        return self._worker(1, threads=THREADS)

    def _worker(self, processes: int, *, threads: int) -> list[list[str]]:
        size = ("--processes", str(processes), "--concurrency", str(threads))
        return [python("-m", "django", "ox_worker", *size, "--interval", "0.1")]
