"""``manage.py worker``, before it begins to work."""

import pytest
from django.core.management import CommandError, call_command


def test_a_setting_that_is_wrong_is_one_line(settings):
    settings.ERRANDS = {"LEASE": 5}

    with pytest.raises(CommandError) as refused:
        call_command("worker", "--burst")

    assert str(refused.value) == "ERRANDS['LEASE'] is 5; it takes a timedelta."
