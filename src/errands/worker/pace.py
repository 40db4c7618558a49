"""How many claims may wait in a process, given how long attempts take."""

AHEAD_SECONDS = 0.2
QUICK_SECONDS, SLOW_SECONDS = 0.01, 0.05
MOST_AHEAD = 3000
WEIGHT = 0.02
MOST_TIMES = 20


class Pace:
    """The mean duration of the last 50 or so attempts.

    A task waits in a process only where it is about to start. While the mean
    attempt takes 10 ms at most, 200 ms of work is claimed ahead and never more
    than 3,000 tasks; up to 50 ms, one task for each thread; above, or where it is
    not known, nothing. With less, threads are done before the database has
    answered, and stand idle for a quarter of the time. Few attempts say little: no
    more than twenty times what has come back is claimed ahead.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._mean: float | None = None
        self._back = 0

    def note(self, seconds: float, *, attempts: int = 1) -> None:
        """Take into account how long attempts took in the mean.

        Those that came back together have counted together: of a thousand quick
        ones, the last 50 may have waited for their turn to run.
        """
        self._back += attempts
        mean = seconds if self._mean is None else self._mean
        self._mean = mean + (seconds - mean) * (1 - (1 - WEIGHT) ** attempts)

    def forget(self) -> None:
        """Claim nothing ahead until attempts come back again."""
        self._mean, self._back = None, 0

    @property
    def ahead(self) -> int:
        """How many tasks may be claimed besides those that start at once."""
        if self._mean is None or self._mean > SLOW_SECONDS:
            return 0
        if self._mean > QUICK_SECONDS:
            return self._threads
        most = min(MOST_AHEAD, MOST_TIMES * self._back)
        if self._mean * most <= self._threads * AHEAD_SECONDS:
            return most
        return int(self._threads * AHEAD_SECONDS / self._mean)
