"""dj-queue: a port of Solid Queue."""

from typing import ClassVar

from bench.peers.django_site import PERSISTENT, DjangoPeer
from bench.peers.peer import python


class DjQueue(DjangoPeer):
    """Its supervisor with one worker per process, and ``enqueue_all``."""

    name = "dj-queue"
    engines = ("postgresql", "sqlite")
    fair: ClassVar = (
        "`dj_queue` in fork mode with 5 threads and `prefetch_multiplier` 50 (of "
        "three settings, one run each; its defaults are 3 and 2), polls each 0.1 s, "
        "LISTEN/NOTIFY on PostgreSQL; a second process is `dj_queue --only-work`; "
        f"{PERSISTENT}; finished jobs preserved; `enqueue_all`"
    )
    apps = ("dj_queue",)
    django_settings = {
        "TASKS": {
            "default": {
                "BACKEND": "dj_queue.backend.DjQueueBackend",
                "QUEUES": [],
                "OPTIONS": {"workers": [{"threads": 5, "prefetch_multiplier": 50}]},
            }
        }
    }
    is_threaded = True
    drained = 1_500
    tables = ("dj_queue_jobs",)
    open_tasks = "SELECT count(*) FROM dj_queue_jobs WHERE finished_at IS NULL"

    def enqueue_many(self, number: int) -> None:
        """Call ``enqueue_all`` once."""
        backend = self.nothing.get_backend()
        backend.enqueue_all([(self.nothing, [], {}) for _ in range(number)])

    def workers(self, processes: int) -> list[list[str]]:
        """One supervisor per process; the second only works."""
        more = [python("-m", "django", "dj_queue", "--only-work")] * (processes - 1)
        return [python("-m", "django", "dj_queue"), *more]
