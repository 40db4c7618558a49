"""A task where no worker looks."""

from errands import task


@task
def hidden() -> None:
    """Do nothing, unseen."""
