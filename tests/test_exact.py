"""Texts that look alike are not the same, on any database."""

import pytest
from django.db import connections
from django.utils import timezone

from errands.queue.models import QueueRow
from errands.queue.store import Store
from tests.queue.conftest import ManualWorker
from tests.testapp import tasks

LOOK_ALIKE = ["mail", "Mail", "máil", "mail ", "ｍail"]

pytestmark = pytest.mark.django_db(transaction=True)


def test_names_that_look_alike_are_rows_of_their_own():
    now = timezone.now()

    QueueRow.objects.bulk_create(
        QueueRow(name=name, paused_at=now) for name in LOOK_ALIKE
    )

    assert QueueRow.objects.get(name="mail ").name == "mail "
    assert Store("default").paused() == set(LOOK_ALIKE)


def test_a_queue_is_claimed_by_its_very_name():
    for name in ("mail", "Mail", "máil"):
        tasks.nothing.using(queue_name=name).enqueue()

    claims = ManualWorker(Store("default")).claim("Mail")

    assert [claim.queue for claim in claims] == ["Mail"]


def test_keys_that_look_alike_exclude_nobody():
    once = tasks.echo.using(unique="of:{value}")

    ids = {once.enqueue(name).id for name in LOOK_ALIKE}

    assert len(ids) == len(LOOK_ALIKE)


@pytest.mark.parametrize(
    ("is_mariadb", "collation"),
    [(True, "utf8mb4_nopad_bin"), (False, "utf8mb4_0900_bin")],
)
def test_the_columns_say_so_on_mysql(is_mariadb, collation):
    server = connections["default"].copy()
    server.vendor, server.mysql_is_mariadb = "mysql", is_mariadb

    parameters = QueueRow._meta.get_field("name").db_parameters(server)

    assert parameters["collation"] == collation
