"""What a MySQL server takes at once."""

import json
from uuid import uuid4

import pytest
from django.db import DataError

from errands.exceptions import ArgumentError
from errands.queue.records import Requeue
from errands.queue.statements.mysql.packets import check_size, parts_of, wires_of
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


def test_a_call_of_single_quotes_is_measured_as_it_is_sent():
    with pytest.raises(ArgumentError):
        check_size("'" * (MEGABYTE // 2), MEGABYTE)


def test_outcomes_are_divided_and_keep_their_order():
    records = [record(number, "\"'\\" * 50_000) for number in range(5)]

    parts = list(parts_of(records, 2 * MEGABYTE))

    assert [row[0] for part in parts for row in json.loads(part)] == list(range(5))
    assert [len(json.loads(part)) for part in parts] == [2, 3]
    for part in parts:
        check_size(part, 2 * MEGABYTE)


def test_an_outcome_that_no_packet_can_carry_is_refused_and_holds_up_no_outage():
    with pytest.raises(DataError) as raised:
        list(parts_of([record(1, "a" * MEGABYTE)], MEGABYTE))

    assert "which takes 1,048,576 (max_allowed_packet)" in str(raised.value)
