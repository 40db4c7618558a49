"""How much goes to a MySQL server at once.

It hangs up on a statement that is larger than its ``max_allowed_packet``, and
what a driver then says names no reason. So what may be too large is measured
first: divided where it consists of parts, refused where it does not.
"""

import json
from collections.abc import Iterator, Sequence

from django.db import DataError
from django.db.backends.utils import CursorWrapper

from errands.exceptions import ArgumentError
from errands.queue.records import Finish, Requeue
from errands.queue.statements.rows import CallRow, dumped

# What passes without asking the server, and the most that is sent at once.
SMALL, LARGEST = 250_000, 12_000_000
PACKET_OVERHEAD = 65_536


def parts_of(records: Sequence[Finish] | Sequence[Requeue], packet: int) -> Iterator[str]:
    """Return records as JSON, in parts that fit a packet, escaped.

    ``DataError`` for one that no packet can carry: its task ends by being refused.
    """
    wire = dumped(records)
    needed, is_alone = _size_of(wire), len(records) == 1
    if needed <= (packet if is_alone else min(packet, LARGEST)):
        yield wire
    elif is_alone:
        raise DataError(
            f"its record needs {needed:,} bytes on its way to the database, which takes "
            f"{packet:,} (max_allowed_packet)"
        )
    else:
        half = len(records) // 2
        yield from parts_of(records[:half], packet)
        yield from parts_of(records[half:], packet)


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
    """Refuse a call that cannot be sent."""
    needed = _size_of(text)
    if needed > packet:
        raise ArgumentError(
            f"The call needs {needed:,} bytes on its way to the database, which takes "
            f"{packet:,} (max_allowed_packet). Store a file and pass its name, or "
            "raise the setting."
        )


def _size_of(text: str) -> int:
    """Return the bytes a text of ASCII needs: quotes and backslashes are doubled."""
    return len(text) + sum(map(text.count, "\"'\\")) + PACKET_OVERHEAD
