"""The database engine: a ``django.tasks`` backend, its tables and its SQL."""

from errands.queue.backend import DatabaseBackend

__all__ = ["DatabaseBackend"]
