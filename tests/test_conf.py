"""Settings are checked once, with a remedy."""

from datetime import timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from errands.checks import check_settings
from errands.conf import settings


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


@override_settings(ERRANDS={"LEASE": 30})
def test_a_value_of_the_wrong_type_is_refused():
    with pytest.raises(ImproperlyConfigured) as error:
        settings()

    assert str(error.value) == "ERRANDS['LEASE'] is 30; it takes a timedelta."


@override_settings(ERRANDS={"STORAGE": "attic"})
def test_a_storage_that_does_not_exist_is_a_system_check_error():
    (message,) = check_settings()

    assert message.id == "errands.E011"
    assert "attic" in message.msg


@override_settings(ERRANDS={"LEESE": 1})
def test_a_wrong_setting_is_a_system_check_error():
    (message,) = check_settings()

    assert message.id == "errands.E010"
