"""Rows are read by position, which is quick; here it is seen that they agree."""

from errands.queue.claims import Claim
from errands.queue.records import FINISH_COLUMNS, REQUEUE_COLUMNS, Finish, Requeue
from errands.queue.statements.rows import CALL_COLUMNS, CLAIM_COLUMNS, CallRow

RENAMED = {"precedence": "priority", "cancel_requested_at": "cancel_requested"}


def test_the_columns_of_a_claim_stand_in_the_order_of_its_fields():
    columns = CLAIM_COLUMNS.split(", ")

    assert tuple(RENAMED.get(name, name) for name in columns) == Claim._fields


def test_the_columns_of_a_call_stand_in_the_order_of_its_fields():
    assert tuple(CALL_COLUMNS.split(", ")) == CallRow._fields


def test_what_statements_write_of_a_record_has_a_name_for_each_value():
    finish = Finish(*Finish._fields)  # type: ignore[arg-type]
    requeue = Requeue(*Requeue._fields)  # type: ignore[arg-type]

    assert finish.columns == FINISH_COLUMNS
    assert requeue.columns == REQUEUE_COLUMNS
