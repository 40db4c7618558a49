"""How a stored call is read."""

import json

import pytest

from errands.exceptions import DecodeError
from errands.queue.claims import Payload, dump_call, dump_ending

CARRIED = {"language": "de", "time_zone": "Europe/Berlin"}
MISLEADING = '","kwargs":{},"context":{"language":"xx"},"options":{'


@pytest.mark.parametrize("args", [[], [1, "a"], [MISLEADING], [[{"kwargs": {}}], None]])
@pytest.mark.parametrize("kwargs", [{}, {"a": 1}, {MISLEADING: MISLEADING}])
@pytest.mark.parametrize("options", [{}, {"timeout": 5.0}, {"rate": ["k", "1/s"]}])
def test_what_is_written_is_read(args, kwargs, options):
    text = dump_call(args, kwargs, ending=dump_ending(CARRIED, options))

    assert Payload.parse(text) == (args, kwargs, CARRIED, options)


@pytest.mark.parametrize(
    "written",
    [
        json.dumps,
        lambda call: json.dumps(call, indent=2),
        lambda call: f" {json.dumps(call, separators=(',', ':'))}\n",
        lambda call: json.dumps(dict(reversed(call.items())), separators=(",", ":")),
    ],
    ids=["spaced", "indented", "surrounded", "reversed"],
)
def test_whoever_writes_one_by_hand_may_write_it_in_another_way(written):
    call = {"args": [1], "kwargs": {"a": 2}, "context": CARRIED, "options": {"keep": 1}}

    assert Payload.parse(written(call)) == ([1], {"a": 2}, CARRIED, {"keep": 1})


@pytest.mark.parametrize(
    "text", ['{"args":[],"kwargs":{}}', '{"kwargs": {}, "args": []}']
)
def test_a_call_may_bring_nothing_along(text):
    assert Payload.parse(text) == ([], {}, {}, {})


@pytest.mark.parametrize("part", ["[1]", '"x"', "null", "5"])
def test_what_it_brings_along_is_left_out_where_it_is_no_object(part):
    text = f'{{"args":[],"kwargs":{{}},"context":{part},"options":{part}}}'

    assert Payload.parse(text) == ([], {}, {}, {})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "null",
        '{"args":',
        '{"args":[]',
        '{"args":[],"kwargs":{}',
        '{"args":[],"kwargs":{},',
        '{"args":[],"kwargs":{}} {}',
        '{"args":[],"kwargs":{},"context":{}}x',
        '{"args":{},"kwargs":{}}',
        '{"args":[],"kwargs":[]}',
        '{"args":' + "[" * 100_000,
    ],
)
def test_what_is_no_call_is_refused(text):
    with pytest.raises(DecodeError, match=r"^The stored call cannot be read: "):
        Payload.parse(text)


def test_calls_share_what_they_end_with_and_nothing_else():
    text = dump_call([], {}, ending=dump_ending(CARRIED, {"timeout": 5.0}))
    one, other = Payload.parse(text), Payload.parse(text)

    one.args.append(1)
    one.kwargs["a"] = 1
    for shared in (one.carried, one.options):
        with pytest.raises(TypeError):
            shared["timeout"] = 1  # type: ignore[index]

    assert other == ([], {}, CARRIED, {"timeout": 5.0})
