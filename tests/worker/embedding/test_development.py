"""The worker that ``runserver`` starts."""

import pytest

from errands.worker.embedding import development


class Spawned:
    pid = 4711


@pytest.fixture
def spawned(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    calls: list[tuple[str, ...]] = []

    def spawn(*arguments: str) -> Spawned:
        calls.append(arguments)
        return Spawned()

    monkeypatch.setattr(development, "spawn_python", spawn)
    monkeypatch.setattr(development, "_workers", [])
    monkeypatch.setattr("sys.argv", ["manage.py", "runserver", "--noreload"])
    return calls


@pytest.mark.parametrize(
    ("arguments", "environment", "serves"),
    [
        (["manage.py", "runserver"], {"RUN_MAIN": "true"}, True),
        (["django-admin", "runserver", "8001", "--noreload"], {}, True),
        (["manage.py", "runserver"], {}, False),
        (["manage.py", "migrate"], {"RUN_MAIN": "true"}, False),
        (["manage.py"], {"RUN_MAIN": "true"}, False),
        (["pytest", "-k", "runserver", "--noreload"], {}, False),
    ],
    ids=["reloaded", "no reload", "the reloader", "migrate", "help", "a test"],
)
def test_only_the_process_that_serves_starts_one(arguments, environment, serves):
    assert development.serves(arguments, environment) is serves


def test_it_hangs_on_a_lifeline_and_is_announced_in_one_line(spawned, capsys):
    development.start_with_runserver()

    command = ("-m", "django", "worker", "--lifeline", "--backend", "default")
    assert spawned == [command]
    assert capsys.readouterr().out == (
        "errands: started a worker for TASKS['default'] as process 4711; "
        "ERRANDS['RUNSERVER_WORKER'] = False turns this off.\n"
    )


def test_a_setting_turns_it_off(spawned, settings, capsys):
    settings.ERRANDS = {"RUNSERVER_WORKER": False}

    development.start_with_runserver()

    assert spawned == []
    assert capsys.readouterr().out == ""


def test_settings_that_are_wrong_are_left_to_the_checks_of_runserver(spawned, settings):
    settings.ERRANDS = {"LEASE": 5}

    development.start_with_runserver()

    assert spawned == []


def test_a_site_without_our_backend_gets_none(spawned, settings):
    settings.TASKS = {
        "default": {"BACKEND": "django.tasks.backends.immediate.ImmediateBackend"}
    }

    development.start_with_runserver()

    assert spawned == []


def test_tasks_that_cannot_be_imported_yet_end_no_reloader(monkeypatch):
    def broken() -> None:
        raise SyntaxError("def (")

    monkeypatch.setattr(development.registry, "load", broken)

    development._watch_tasks()
