"""Jobs in their barest form: tasks that take a run over and end it."""

from errands.exceptions import RecordGone, TaskCancelled, TaskInterrupted
from errands.runs.handover import take_over
from errands.runs.possession import Possession
from errands.tasks.decorator import task


@task(queue_name="jobs", max_attempts=1)
def export(run_id: str, dispatch: int) -> None:
    """Write a file, count, and succeed."""
    if possession := take_over(run_id, dispatch):
        write_orders(possession)
        possession.succeed({"kind": "download", "result": "orders.csv"})


@task(queue_name="jobs", max_attempts=1)
def explode(run_id: str, dispatch: int) -> None:
    """Raise before the run is taken over."""
    raise ValueError("no luck")


@task(queue_name="jobs", max_attempts=1)
def discard(run_id: str, dispatch: int) -> None:
    """Take the run over and miss a record."""
    take_over(run_id, dispatch)
    raise RecordGone("Account 42 no longer exists.")


@task(queue_name="jobs", max_attempts=1)
def forget(run_id: str, dispatch: int) -> None:
    """Return without having touched the run."""


@task(queue_name="jobs", max_attempts=1)
def work_until_stopped(run_id: str, dispatch: int) -> None:
    """Reach a checkpoint and obey it."""
    possession = take_over(run_id, dispatch)
    if possession is None:
        return
    try:
        possession.progress.flush()
    except TaskInterrupted:
        possession.interrupted()
        raise
    except TaskCancelled:
        possession.cancelled()
        raise
    possession.succeed()


def write_orders(possession: Possession) -> None:
    """Write a result and count one unit."""
    with possession.results.open("orders.csv") as file:
        file.write("id,total\r\n1,9.90\r\n")
    possession.progress.advance()
