"""A rate is written as a count and a unit, and in no other way."""

from datetime import timedelta

import pytest

from errands.tasks.rates import Rate


@pytest.mark.parametrize(
    ("text", "seconds"), [("10/s", 1), ("10/m", 60), ("10/h", 3600), ("10/d", 86_400)]
)
def test_a_rate_is_a_count_per_unit(text, seconds):
    assert Rate.parse(text) == Rate(10, timedelta(seconds=seconds))


@pytest.mark.parametrize(
    "text",
    ["", "10", "/s", "0/s", "-1/s", "1.5/s", "10/w", "10/S", " 10/s", "10/s\n", "١/s",
     "1" * 10 + "/s", "10/2s", None, 10, ("10", "s")],
    ids=repr,
)  # fmt: skip
def test_anything_else_is_refused_with_examples(text):
    with pytest.raises(ValueError, match="is not understood") as refused:
        Rate.parse(text)

    assert repr(text) in str(refused.value)
    assert "Write '10/s', '100/m', '500/h' or '1000/d'." in str(refused.value)
