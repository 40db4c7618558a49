"""A job that nobody runs."""

from errands import Job


class Nothing(Job):
    """Do nothing."""

    def perform(self) -> None:
        """Do nothing."""
