"""Tasks that the torture enqueues: one for each option that the queue keeps."""

from datetime import timedelta

from errands import task

BRIEFLY = timedelta(seconds=250)


@task(max_attempts=2)
def plain() -> None:
    """Do nothing; two exceptions end it."""


@task(max_attempts=1)
def fragile() -> None:
    """Do nothing; one exception ends it."""


@task(max_attempts=2, keep=BRIEFLY)
def brief() -> None:
    """Do nothing, and be forgotten soon."""


@task(max_attempts=2, keep={"succeeded": timedelta()})
def unkept() -> None:
    """Do nothing, and leave no result."""


@task(max_attempts=2, concurrency=("torture:{key}", 2))
def keyed(key: str) -> None:
    """Run beside one other of its key at most."""


@task(max_attempts=2, unique=True, concurrency=("torture:single", 1))
def single(number: int) -> None:
    """Live once for each number, and run alone."""


@task(at_most_once=True)
def once() -> None:
    """Start once at most."""
