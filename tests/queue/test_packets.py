"""What a MySQL server takes at once."""

import json
from uuid import uuid4

import pytest

from errands.exceptions import ArgumentError
from errands.queue.records import Requeue
from errands.queue.statements.packets import batched, check_size, wires_of
from errands.queue.statements.rows import CallRow

MEGABYTE = 1_048_576


def call(payload: str) -> CallRow:
    return CallRow(uuid4().hex, payload)


def record(number: int, errors: str) -> Requeue:
    return Requeue(number, 1, 1, None, 1, 0, 0, errors, "[]", None)


def test_tens_of_thousands_of_small_calls_are_one_statement():
    calls = [call(json.dumps({"args": [n], "kwargs": {}})) for n in range(20_000)]

    (wire,) = wires_of(calls, 16 * MEGABYTE)

    assert [entry[0] for entry in json.loads(wire)] == [one.uuid for one in calls]


def test_calls_are_divided_so_that_each_part_passes_escaped():
    calls = [call('"' * 100_000) for _ in range(20)]

    wires = list(wires_of(calls, MEGABYTE))

    assert [entry[0] for wire in wires for entry in json.loads(wire)] == [
        one.uuid for one in calls
    ]
    for wire in wires:
        check_size(wire, MEGABYTE)


def test_a_call_that_no_packet_can_carry_is_refused_with_the_remedy():
    with pytest.raises(ArgumentError) as raised:
        list(wires_of([call("a" * MEGABYTE)], MEGABYTE))

    assert str(raised.value) == (
        "The call needs 1,114,168 bytes on its way to the database, which takes "
        "1,048,576 (max_allowed_packet). Store a file and pass its name, or raise the "
        "setting."
    )


def test_outcomes_are_divided_and_keep_their_order():
    records = [record(number, "x" * MEGABYTE) for number in range(5)]

    parts = list(batched(records))

    assert [len(part) for part in parts] == [2, 2, 1]
    assert [one for part in parts for one in part] == records
