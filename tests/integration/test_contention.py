"""Many processes write at once, and nobody hears of a lock."""

import os
from threading import Thread

import pytest
from django.db import connection, transaction
from django.db.models import Max

from errands.queue.models import ResultRow, TaskRow
from errands.queue.states import ResultStatus
from tests.integration.conftest import StartWorker
from tests.integration.processes import eventually
from tests.testapp.models import Account
from tests.testapp.tasks import rename

pytestmark = [
    pytest.mark.quiet,
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(600),
]

IS_LONG = os.environ.get("ERRANDS_TORTURE") == "long"
TASKS = 20_000 if IS_LONG else 1_200
WRITERS = 4


def test_four_processes_and_a_busy_site_write_at_once_and_nothing_is_refused(
    start_worker: StartWorker,
):
    def serve() -> None:
        """Do what requests do: write, and enqueue in the same transaction."""
        try:
            for number in range(TASKS // WRITERS):
                with transaction.atomic():
                    account = Account.objects.create(name=f"new {number}")
                    rename.enqueue(account, name=f"renamed {number}")
        except BaseException as error:  # noqa: BLE001 - whatever a caller would get
            refused.append(error)
        finally:
            connection.close()

    refused: list[BaseException] = []
    worker = start_worker("--processes", "4").is_ready()
    threads = [Thread(target=serve) for _ in range(WRITERS)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    eventually(lambda: not TaskRow.objects.exists(), "all of them ran", within=300)

    assert refused == []
    assert "locked" not in worker.errors
    ended = ResultRow.objects.filter(status=ResultStatus.SUCCEEDED)
    assert ended.count() == TASKS
    assert ended.aggregate(most=Max("attempt"))["most"] == 1
    assert Account.objects.filter(name__startswith="renamed").count() == TASKS
