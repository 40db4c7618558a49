"""The worker's options: refused with a reason, shared out, carried as JSON."""

import re

import pytest

from errands.queue.claims import Selection
from errands.worker.options import WorkerOptions


def test_threads_and_grace_come_from_the_site_unless_they_are_given(settings):
    settings.ERRANDS = {"THREADS": 7}

    options = WorkerOptions()

    assert (options.threads, options.grace) == (7, 25.0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"threads": 0}, "--threads is 0; it takes 1 or more."),
        ({"processes": -1}, "--processes is -1; it takes 1 or more."),
        ({"limit": 0}, "--limit is 0; it takes 1 or more."),
        ({"grace": -0.5}, "--grace is -0.5; it takes 0 or more seconds."),
        ({"queues": " , "}, "' , ' names no queue. Use 'mail,default' or '*'."),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_remedy(given, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        WorkerOptions(**given)


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
