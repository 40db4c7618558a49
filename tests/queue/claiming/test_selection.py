"""What ``--queues`` may say, and whose a queue is."""

import re

import pytest

from errands.queue.claiming.selection import REMEDY, Selection, Term

ONE_LINE = f"a name is one line of up to 100 characters. {REMEDY}"


def test_names_prefixes_and_limits_are_read_in_their_order():
    selection = Selection.parse(" mail:2, report* , pdf*:3, *")

    assert selection.terms == (
        Term("mail", limit=2),
        Term("report", is_prefix=True),
        Term("pdf", is_prefix=True, limit=3),
        Term("", is_prefix=True),
    )


@pytest.mark.parametrize(
    ("queues", "message"),
    [
        (",", f"',' names no queue. {REMEDY}"),
        (":2", f"':2' names no queue. {REMEDY}"),
        ("mail:0", f"'mail:0' gives '0' tasks at once; it takes 1 or more. {REMEDY}"),
        ("mail:x", f"'mail:x' gives 'x' tasks at once; it takes 1 or more. {REMEDY}"),
        ("mail:", f"'mail:' gives '' tasks at once; it takes 1 or more. {REMEDY}"),
        ("mail:²", f"'mail:²' gives '²' tasks at once; it takes 1 or more. {REMEDY}"),
        ("ma*il", f"'ma*il' has a '*' that is not at the end. {REMEDY}"),
        ("**", f"'**' has a '*' that is not at the end. {REMEDY}"),
        ("\udcff", f"'\\udcff' is no queue: {ONE_LINE}"),
        ("*,a\nb:2", f"'a\\nb:2' is no queue: {ONE_LINE}"),
        ("x" * 101, f"'{'x' * 101}' is no queue: {ONE_LINE}"),
        ("mail,*,mail:2", "'mail,*,mail:2' names 'mail' twice."),
        ("*,*:3", "'*,*:3' names '*' twice."),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_remedy(queues, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Selection.parse(queues)


@pytest.mark.parametrize(
    ("queue", "pattern"),
    [("mail", "mail"), ("mailing", "mail*"), ("mailer-daemon", "mailer*"), ("pdf", "*")],
)
def test_a_queue_belongs_to_its_name_then_to_the_longest_prefix(queue, pattern):
    selection = Selection.parse("*,mail*,mailer*:2,mail:1")

    assert selection.owner_of(queue).pattern == pattern


def test_a_queue_nobody_named_is_nobodys():
    assert Selection.parse("mail,report*").owner_of("pdf") is None


@pytest.mark.parametrize(
    ("queues", "threads"),
    [("*", 5), ("mail,default", 5), ("mail:2,default:8,*", 15), ("mail:2,pdf:1", 3)],
)
def test_the_threads_of_pools_are_added_up(queues, threads):
    assert Selection.parse(queues).threads(5) == threads
