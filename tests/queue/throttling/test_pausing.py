"""Pausing queues while others pause and resume them."""

import pytest
from django.db import connection
from django.utils import timezone

from errands.queue.models import QueueRow
from errands.queue.store import Store

pytestmark = pytest.mark.django_db(transaction=True)


def test_who_pauses_is_not_bothered_by_others_who_pause_and_resume(store: Store):
    looks = []

    def others(execute, sql, params, many, context):
        if not (sql.startswith("SELECT") and "errands_queue" in sql):
            return execute(sql, params, many, context)
        looks.append(sql)
        if len(looks) > 1:
            QueueRow.objects.all().delete()
        answer = execute(sql, params, many, context)
        if len(looks) == 1:
            QueueRow.objects.create(name="mail", paused_at=timezone.now())
        return answer

    with connection.execute_wrapper(others):
        is_new = store.pause("mail")

    assert (is_new, store.paused()) == (False, {"mail"})
