"""How much goes to a MySQL server at once.

It hangs up on a statement that is larger than its ``max_allowed_packet``, and
what a driver then says names no reason. So what may be too large is measured
first: divided where it consists of parts, refused where it does not.
"""

import json
from collections.abc import Iterator, Sequence

from django.db.backends.utils import CursorWrapper

from errands.exceptions import ArgumentError
from errands.queue.records import Finish, Requeue
from errands.queue.statements.rows import CallRow

# What passes without asking the server, and the most that is sent at once.
SMALL, LARGEST = 250_000, 12_000_000
PACKET_OVERHEAD = 65_536


def batched[R: (Finish, Requeue)](records: Sequence[R]) -> Iterator[Sequence[R]]:
    """Divide records so that each part fits a packet of 16 MB, escaped."""
    batch, size = list[R](), 0
    for record in records:
        length = len(record.errors) + len(record.metadata or "")
        length += len(getattr(record, "return_value", None) or "")
        if batch and size + length > LARGEST // 4:
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += length
    if batch:
        yield batch


def wires_of(calls: Sequence[CallRow], packet: int) -> Iterator[str]:
    """Return the calls as JSON, in parts that fit a packet, escaped."""
    batch, size = list[str](), 0
    for call in calls:
        wire = json.dumps(call)
        if len(wire) > SMALL:
            check_size(wire, packet)
        if batch and 2 * (size + len(wire)) > min(packet - PACKET_OVERHEAD, LARGEST):
            yield f"[{','.join(batch)}]"
            batch, size = [], 0
        batch.append(wire)
        size += len(wire)
    yield f"[{','.join(batch)}]"


def packet_size(cursor: CursorWrapper) -> int:
    """Return how much the server takes at once; it hangs up on more."""
    cursor.execute("SELECT @@max_allowed_packet")
    return int(cursor.fetchone()[0])


def check_size(text: str, packet: int) -> None:
    """Refuse a call that cannot be sent: quotes and backslashes are doubled."""
    needed = len(text) + text.count('"') + text.count("\\") + PACKET_OVERHEAD
    if needed > packet:
        raise ArgumentError(
            f"The call needs {needed:,} bytes on its way to the database, which takes "
            f"{packet:,} (max_allowed_packet). Store a file and pass its name, or "
            "raise the setting."
        )
