import shutil
import subprocess

import pymysql
import pytest

from tests.servers import debian, mysql


@pytest.fixture
def unnamed(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv(mysql.VARIABLE, mysql.OWN)
    return monkeypatch


def test_a_server_of_our_own_answers_and_leaves_nothing_behind() -> None:
    server = mysql.OwnServer()

    server.start()
    socket = str(server.directory / "socket")
    connection = pymysql.connect(unix_socket=socket, user="root")
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT current_user()")
        row = cursor.fetchone()
    server.stop()

    assert row == ("root@localhost",)
    assert not server.directory.exists()
    assert server.has_ended


def test_a_server_that_is_named_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(mysql.VARIABLE, "mysql://ann:s%40cret@db.example:3307")

    database = mysql.database("shop")

    assert database == {
        "ENGINE": "django.db.backends.mysql",
        "NAME": "shop",
        "HOST": "db.example",
        "PORT": "3307",
        "USER": "ann",
        "PASSWORD": "s@cret",
    }


def test_a_server_that_is_missing_is_installed(unnamed: pytest.MonkeyPatch) -> None:
    asked: list[list[object]] = []
    unnamed.setattr(shutil, "which", lambda name, path: None)
    unnamed.setattr(subprocess, "call", asked.append)

    with pytest.raises(mysql.NoMySQL):
        mysql.url()

    assert asked == [[debian.INSTALL, "mariadb-server"]]


def test_where_none_can_be_installed_the_error_names_the_remedy(
    unnamed: pytest.MonkeyPatch,
) -> None:
    unnamed.setattr(shutil, "which", lambda name, path: None)
    unnamed.setattr(subprocess, "call", lambda command: 1)

    with pytest.raises(mysql.NoMySQL) as raised:
        mysql.url()

    assert str(raised.value) == (
        "There is no MariaDB for the tests: mariadbd is not installed\n"
        "Start one and name it in ERRANDS_TEST_MYSQL, as "
        "mysql://user:password@host:3306; or leave these tests out with "
        "ERRANDS_TEST_WITHOUT=mysql."
    )
