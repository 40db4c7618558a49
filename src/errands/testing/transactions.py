"""Code of the site inside the transaction of a ``TestCase``, which never commits.

There, two things differ from a worker, where each attempt stands alone. What is
left to ``on_commit`` would never be called; so it is called when the attempt
has ended, as ``captureOnCommitCallbacks(execute=True)`` does. And an error of
the database may leave the whole transaction unusable; then all that the attempt
wrote is rolled back, so that the test can go on.

In autocommit, as in a ``TransactionTestCase``, there is nothing to do.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from django.db import Error, connections, transaction
from django.test import TestCase


@contextmanager
def as_if_committed() -> Iterator[None]:
    """Treat what the block writes as committed where it ends."""
    with ExitStack() as stack:
        for connection in connections.all(initialized_only=True):
            if connection.in_atomic_block:
                stack.enter_context(_standing_alone(connection.alias))
        yield


@contextmanager
def _standing_alone(alias: str) -> Iterator[None]:
    hooks_before = len(connections[alias].run_on_commit)
    savepoint = transaction.savepoint_create(using=alias)
    try:
        with TestCase.captureOnCommitCallbacks(using=alias, execute=True):
            yield
            if _is_usable(alias):
                transaction.savepoint_commit(savepoint, using=alias)
            else:
                transaction.set_rollback(False, using=alias)
                transaction.savepoint_rollback(savepoint, using=alias)
                del connections[alias].run_on_commit[hooks_before:]
    finally:
        # They have been called, and are not once more by whoever is around this.
        del connections[alias].run_on_commit[hooks_before:]


def _is_usable(alias: str) -> bool:
    try:
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error:
        return False
    return True
