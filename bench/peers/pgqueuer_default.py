"""PgQueuer, with the batches it has by default."""

from typing import ClassVar

from bench.peers.peer import python
from bench.peers.pgqueuer import PgQueuerPeer


class PgQueuerDefault(PgQueuerPeer):
    """The same with ``batch_size`` 10."""

    name = "pgqueuer, batch 10"
    fair: ClassVar = "the same, with its default `batch_size` of 10"
    drained = 10_000
    is_quick = False

    def workers(self, processes: int) -> list[list[str]]:
        """One process per command."""
        return [python("-m", "bench.peers.pgqueuer", self.place.url, "10")] * processes
