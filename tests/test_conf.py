"""Settings are checked once, with a remedy."""

from dataclasses import fields
from datetime import timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from errands.checks import check_settings
from errands.conf import TAKES, Settings, settings

SECOND = timedelta(seconds=1)
NEVER = timedelta.max


@override_settings(ERRANDS={"LEASE": timedelta(minutes=1), "IMPORTS": ["a.b"]})
def test_a_site_changes_a_default_by_its_name_in_upper_case():
    assert settings().lease == timedelta(minutes=1)
    assert settings().imports == ("a.b",)
    assert settings().heartbeat == timedelta(seconds=5)


@override_settings(ERRANDS={"LEESE": 1})
def test_an_unknown_key_is_refused_with_the_one_that_was_meant():
    with pytest.raises(ImproperlyConfigured) as error:
        settings()

    assert str(error.value) == (
        "Unknown setting 'LEESE' in ERRANDS. Did you mean 'LEASE'?"
    )


def test_a_key_in_lower_case_is_refused_with_the_one_that_was_meant():
    assert refusal({"lease": timedelta(minutes=1)}) == (
        "Unknown setting 'lease' in ERRANDS. Did you mean 'LEASE'?"
    )


@override_settings(ERRANDS={"LEASE": 30})
def test_a_value_of_the_wrong_type_is_refused():
    with pytest.raises(ImproperlyConfigured) as error:
        settings()

    assert str(error.value) == "ERRANDS['LEASE'] is 30; it takes a timedelta."


@pytest.mark.parametrize(
    ("key", "value", "takes"),
    [
        ("THREADS", "5", "an int"),
        ("THREADS", True, "an int"),
        ("BASE_URL", None, "a str"),
        ("FORK", 1, "True or False"),
        ("IMPORTS", "shop.tasks", "a list of names of modules"),
        ("IMPORTS", [1], "a list of names of modules"),
        ("IMPORTS", [""], "a list of names of modules"),
        ("BASE_URL", "shop.example", "scheme and host, such as 'https://shop.example'"),
        ("BASE_URL", "https://", "scheme and host, such as 'https://shop.example'"),
        ("BASE_URL", "http://[", "scheme and host, such as 'https://shop.example'"),
        (
            "BASE_URL",
            "https://shop.example:99999",
            "scheme and host, such as 'https://shop.example'",
        ),
        (
            "BASE_URL",
            "http://shop.example:port",
            "scheme and host, such as 'https://shop.example'",
        ),
        (
            "BASE_URL",
            "https://shop.example\n",
            "scheme and host, such as 'https://shop.example'",
        ),
        (
            "BASE_URL",
            "https://shop .example",
            "scheme and host, such as 'https://shop.example'",
        ),
    ],
)
def test_a_value_that_means_nothing_is_refused_with_what_is_taken(key, value, takes):
    assert refusal({key: value}) == f"ERRANDS['{key}'] is {value!r}; it takes {takes}."


@pytest.mark.parametrize("number", [0, 1_001])
def test_threads_that_no_system_would_survive_are_refused(number):
    assert refusal({"THREADS": number}) == (
        f"ERRANDS['THREADS'] is {number}; it takes 1 to 1,000."
    )


@pytest.mark.parametrize("key", ["CRASHES", "RELEASES"])
@pytest.mark.parametrize("number", [0, -1, 32_768])
def test_a_number_that_no_row_can_count_to_is_refused(key, number):
    assert refusal({key: number}) == (
        f"ERRANDS['{key}'] is {number}; it takes 1 to 32,767."
    )


@pytest.mark.parametrize("key", ["HEARTBEAT", "SWEEP"])
@pytest.mark.parametrize("period", [0 * SECOND, -SECOND, NEVER])
def test_a_period_of_no_time_or_beyond_the_calendar_is_refused(key, period):
    assert refusal({key: period}) == (
        f"ERRANDS['{key}'] is {period!r}; it takes a timedelta above zero, at most "
        "36500 days."
    )


@pytest.mark.parametrize("lease", [0.001 * SECOND, 0.999 * SECOND, NEVER])
def test_a_lease_in_which_every_worker_would_look_lost_is_refused(lease):
    assert refusal({"LEASE": lease}) == (
        f"ERRANDS['LEASE'] is {lease!r}; it takes a timedelta of 1 second or more, at "
        "most 36500 days."
    )


@pytest.mark.parametrize(
    "key", ["GRACE", "TIMEOUT_GRACE", "UNKNOWN_TASK_PATIENCE", "MAIL_FAILURES_EVERY"]
)
@pytest.mark.parametrize("patience", [-SECOND, NEVER])
def test_patience_below_zero_or_beyond_the_calendar_is_refused(key, patience):
    assert refusal({key: patience}) == (
        f"ERRANDS['{key}'] is {patience!r}; it takes a timedelta of zero or more, at "
        "most 36500 days."
    )


@pytest.mark.parametrize("key", ["KEEP_SUCCEEDED", "KEEP_FAILED"])
def test_results_cannot_be_kept_for_less_than_no_time(key):
    assert refusal({key: -SECOND}) == (
        f"ERRANDS['{key}'] is {-SECOND!r}; it takes a timedelta of zero or more."
    )


@pytest.mark.parametrize(
    "configured",
    [
        {"THREADS": 1, "COROUTINES": 1, "CRASHES": 1, "RELEASES": 1},
        {"THREADS": 1_000, "COROUTINES": 10_000, "CRASHES": 32_767, "RELEASES": 32_767},
        {"GRACE": 0 * SECOND, "TIMEOUT_GRACE": 0 * SECOND},
        {"UNKNOWN_TASK_PATIENCE": 0 * SECOND, "MAIL_FAILURES_EVERY": 0 * SECOND},
        {"KEEP_SUCCEEDED": 0 * SECOND, "KEEP_FAILED": NEVER},
        {"HEARTBEAT": 0.01 * SECOND, "LEASE": SECOND, "SWEEP": 0.005 * SECOND},
        {"BASE_URL": "", "IMPORTS": ()},
        {"BASE_URL": "http://localhost:8000/below"},
    ],
)
def test_the_least_and_the_most_that_means_something_is_taken(configured):
    with override_settings(ERRANDS=configured):
        found = settings()

    assert {key: getattr(found, key.lower()) for key in configured} == configured


def test_every_number_and_duration_has_a_range():
    bounded = {
        field.name.upper()
        for field in fields(Settings)
        if type(field.default) in {int, timedelta}
    }

    assert bounded <= set(TAKES)
    assert set(TAKES) <= {field.name.upper() for field in fields(Settings)}


@pytest.mark.parametrize(
    ("configured", "heartbeat"),
    [
        ({"LEASE": 12 * SECOND}, 2 * SECOND),
        ({"LEASE": 3 * SECOND}, 0.5 * SECOND),
        ({"LEASE": 60 * SECOND}, 5 * SECOND),
        ({"LEASE": 12 * SECOND, "HEARTBEAT": 11 * SECOND}, 11 * SECOND),
    ],
)
def test_a_shorter_lease_has_heartbeats_that_keep_it(configured, heartbeat):
    with override_settings(ERRANDS=configured):
        assert settings().heartbeat == heartbeat


@pytest.mark.parametrize("lease", [{}, {"LEASE": 30 * SECOND}])
@pytest.mark.parametrize("heartbeat", [30 * SECOND, 31 * SECOND])
def test_a_heartbeat_that_cannot_keep_the_lease_is_refused(heartbeat, lease):
    assert refusal({"HEARTBEAT": heartbeat, **lease}) == (
        f"ERRANDS['HEARTBEAT'] is {heartbeat!r}; it takes less than ERRANDS['LEASE'], "
        f"which is {30 * SECOND!r}."
    )


@pytest.mark.parametrize("configured", [None, [], ["LEASE"], "LEASE"])
def test_settings_that_are_no_dict_are_refused(configured):
    assert refusal(configured) == f"ERRANDS is {configured!r}; it takes a dict."


def test_a_key_that_is_no_name_is_refused():
    assert refusal({1: 2}).startswith("Unknown setting 1 in ERRANDS. Known: IMPORTS, ")


@override_settings(ERRANDS={"STORAGE": "attic"})
def test_a_storage_that_does_not_exist_is_a_system_check_error():
    (message,) = check_settings()

    assert message.id == "errands.E011"
    assert message.msg == (
        "ERRANDS['STORAGE'] names 'attic', which STORAGES does not define."
    )


@pytest.mark.parametrize(
    ("storage", "problem"),
    [
        (
            {"BACKEND": "a.B"},
            "InvalidStorageError: Could not find backend 'a.B': No module named 'a'",
        ),
        (
            {"BACKEND": "django.core.files.storage.Storage", "OPTIONS": {"dust": 1}},
            "TypeError: Storage() takes no arguments",
        ),
    ],
)
def test_a_storage_that_cannot_be_used_is_told_from_one_that_is_missing(
    settings, storage, problem
):
    settings.STORAGES = {**settings.STORAGES, "attic": storage}
    settings.ERRANDS = {"STORAGE": "attic"}

    (message,) = check_settings()

    assert message.id == "errands.E011"
    assert message.msg == (
        f"ERRANDS['STORAGE'] names 'attic', which cannot be used: {problem}"
    )
    assert message.hint == "Look at STORAGES['attic']."


@override_settings(ERRANDS={"LEESE": 1})
def test_a_wrong_setting_is_a_system_check_error():
    (message,) = check_settings()

    assert message.id == "errands.E010"


@override_settings(ERRANDS=None)
def test_settings_that_are_no_dict_are_a_system_check_error():
    (message,) = check_settings()

    assert message.id == "errands.E010"


@override_settings(ERRANDS={"MAIL_FAILURES": True}, ADMINS=[])
def test_mail_to_nobody_is_a_system_check_warning():
    (message,) = check_settings()

    assert message.id == "errands.W002"
    assert message.msg == (
        "ERRANDS['MAIL_FAILURES'] is True and ADMINS is empty: nobody is mailed."
    )


@pytest.mark.parametrize(
    ("is_wanted", "admins"), [(True, ["ops@shop.example"]), (False, [])]
)
def test_mail_to_somebody_or_none_at_all_is_well(settings, is_wanted, admins):
    settings.ERRANDS, settings.ADMINS = {"MAIL_FAILURES": is_wanted}, admins

    assert check_settings() == []


def refusal(configured: object) -> str:
    """Return why these settings are refused."""
    with (
        override_settings(ERRANDS=configured),
        pytest.raises(ImproperlyConfigured) as error,
    ):
        settings()
    return str(error.value)
