"""The second way into a database."""

import pytest
from django.db import Error, OperationalError

from errands.sidecar import Sidecar

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_connection_that_broke_while_it_was_made_is_made_anew(monkeypatch):
    side = Sidecar("default")
    prepare = side._prepare

    def cut(cursor: object) -> None:
        del cursor
        side._connection.connection.close()
        raise OperationalError("the server closed the connection unexpectedly")

    monkeypatch.setattr(side, "_prepare", cut)
    with pytest.raises(Error):
        side.execute("SELECT 1")
    monkeypatch.setattr(side, "_prepare", prepare)

    assert [*map(tuple, side.execute("SELECT 1"))] == [(1,)]
    side.close()
