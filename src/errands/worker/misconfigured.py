"""What no worker may begin with, be it a process, a web server's, or a call."""

from errands.exceptions import ErrandsError
from errands.queue.store import Store


class WorkerBroken(ErrandsError):
    """The worker is misconfigured, or no child could even begin to work."""


def refuse_what_is_misconfigured(store: Store) -> None:
    """Raise ``WorkerBroken`` for errors that the backend's system checks find.

    Only the backend's: those of the whole site import its URLs and more, which
    would stay in the supervisor's memory for as long as it lives.
    """
    serious = [str(found) for found in store.backend.check() if found.is_serious()]
    if serious:
        raise WorkerBroken("\n".join(serious))
