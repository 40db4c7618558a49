"""The queues that are measured, each in a file of its own."""

from importlib import import_module

from bench.peers.peer import Peer

MODULES = {
    "errands": "Errands",
    "raw": "Raw",
    "pgqueuer": "PgQueuerPeer",
    "pgqueuer_default": "PgQueuerDefault",
    "procrastinate": "Procrastinate",
    "django_ox": "DjangoOx",
    "dj_queue": "DjQueue",
    "django_tasks_db": "DjangoTasksDb",
    "celery": "CeleryPeer",
    "huey": "Huey",
}


def find(module: str) -> type[Peer]:
    """Return the peer of a module; ``ImportError`` when it is not installed."""
    found: type[Peer] = getattr(import_module(f"bench.peers.{module}"), MODULES[module])
    return found
