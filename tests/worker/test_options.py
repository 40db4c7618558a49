"""The worker's options: refused with a reason, shared out, carried as JSON."""

import re
from argparse import ArgumentParser
from dataclasses import fields
from math import inf, nan

import pytest

from errands.queue.claiming.selection import REMEDY, Selection
from errands.worker import options as options_module
from errands.worker.options import WorkerOptions, add_arguments

TOO_MANY_THREADS = (
    "queues 'mail:996,*' and threads 5 make 1,001 threads in each process; up to 1,000 "
    "are possible. Use more processes."
)
SAID_BY_SUPERVISORS = {"supervisor", "quarantine", "quarantine_patience"}


def test_threads_and_grace_come_from_the_site_unless_they_are_given(settings):
    settings.ERRANDS = {"THREADS": 7}

    options = WorkerOptions()

    assert (options.threads, options.grace) == (7, 25.0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"threads": 0}, "threads is 0; it takes 1 to 1,000."),
        ({"threads": 40_000}, "threads is 40,000; it takes 1 to 1,000."),
        ({"processes": -1}, "processes is -1; it takes 1 to 1,000."),
        ({"coroutines": 0}, "coroutines is 0; it takes 1 to 10,000."),
        ({"limit": 0}, "limit is 0; it takes 1 to 1,000,000,000,000."),
        ({"max_tasks": 0}, "max_tasks is 0; it takes 1 to 1,000,000,000,000."),
        ({"max_rss": -1}, "max_rss is -1; it takes 1 to 1,000,000,000,000."),
        ({"min_priority": 500}, "min_priority is 500; it takes -100 to 100."),
        ({"max_priority": -101}, "max_priority is -101; it takes -100 to 100."),
        ({"name": "x" * 81}, "name has 81 characters; it takes up to 80."),
        (
            {"name": "a\nb"},
            r"name is 'a\nb'; it takes one line of text, unpadded.",
        ),
        (
            {"name": " anna"},
            "name is ' anna'; it takes one line of text, unpadded.",
        ),
        (
            {"name": "\udcff"},
            r"name is '\udcff'; it takes one line of text, unpadded.",
        ),
        ({"grace": -0.5}, "grace is -0.5; it takes 0 to 3,153,600,000 seconds."),
        ({"grace": nan}, "grace is nan; it takes 0 to 3,153,600,000 seconds."),
        ({"grace": inf}, "grace is inf; it takes 0 to 3,153,600,000 seconds."),
        ({"queues": "mail:996,*", "threads": 5}, TOO_MANY_THREADS),
        ({"queues": " , "}, f"' , ' names no queue. {REMEDY}"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_remedy(given, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        WorkerOptions(**given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"threads": "2"}, "threads is '2'; it takes a whole number."),
        ({"threads": True}, "threads is True; it takes a whole number."),
        ({"limit": 1.5}, "limit is 1.5; it takes a whole number, or None."),
        ({"queues": ["mail"]}, "queues is ['mail']; it takes text."),
        (
            {"min_priority": "x"},
            "min_priority is 'x'; it takes a whole number, or None.",
        ),
        ({"grace": None}, "grace is None; it takes a number of seconds."),
        ({"burst": 1}, "burst is 1; it takes True or False."),
    ],
)
def test_what_is_of_another_type_is_refused_with_the_right_one(given, message):
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        WorkerOptions(**given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_rss": -1}, "--max-rss is -1; it takes 1 to 1,000,000,000,000."),
        ({"max_rss": "x"}, "--max-rss is 'x'; it takes a whole number, or None."),
        ({"grace": nan}, "--grace is nan; it takes 0 to 3,153,600,000 seconds."),
        ({"name": " anna"}, "--name is ' anna'; it takes one line of text, unpadded."),
        ({"queues": "mail:996,*", "threads": 5}, "--queues 'mail:996,*' and --threads 5"),
    ],
)
def test_on_a_command_line_an_option_is_named_as_it_is_written_there(given, message):
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(message)}"):
        WorkerOptions.of_command(given)


def test_a_grace_may_be_a_whole_number():
    assert WorkerOptions(grace=3).grace == 3


def test_the_selection_has_queues_in_order_and_the_range_of_priorities():
    options = WorkerOptions(queues="mail,*", min_priority=-5, max_priority=50)

    assert options.selection == Selection(("mail", "*"), -5, 50)


def test_the_limit_is_shared_out_evenly_and_nothing_of_it_is_lost():
    options = WorkerOptions(limit=8, processes=3)

    shares = [options.for_child(index).limit for index in range(3)]

    assert shares == [3, 3, 2]


def test_children_of_a_named_worker_are_told_apart_by_number():
    one, three = WorkerOptions(name="anna"), WorkerOptions(name="anna", processes=3)

    assert one.for_child(0).name == "anna"
    assert three.for_child(2).name == "anna-3"


def test_a_child_reads_exactly_what_the_supervisor_was_told():
    options = WorkerOptions(queues="a,b", burst=True, grace=0.5, min_priority=3)

    assert WorkerOptions.parse(options.dump()) == options


def test_a_place_is_needed_for_each_thread_and_each_coroutine():
    options = WorkerOptions(queues="mail:2,default:8,*", threads=4, coroutines=30)

    assert options.executors == 14
    assert options.places == 44


def test_memory_cannot_be_bounded_where_nobody_can_tell_it(monkeypatch):
    monkeypatch.setattr(options_module, "resident_megabytes", lambda: None)

    with pytest.raises(ValueError, match="max_rss needs /proc"):
        WorkerOptions(max_rss=500)


def test_every_option_but_those_for_supervisors_is_on_the_command_line():
    parser = ArgumentParser()
    add_arguments(parser)

    told = vars(parser.parse_args(["--max-rss", "500", "--coroutines", "7"]))

    options = {field.name for field in fields(WorkerOptions)}
    assert set(told) == options - SAID_BY_SUPERVISORS
    assert WorkerOptions.of_command(told) == WorkerOptions(max_rss=500, coroutines=7)
