"""From which queues a process claims: order, prefixes, pools and pauses."""

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from errands.queue.claiming.picking import QueuePicker
from errands.queue.claiming.selection import Selection
from errands.queue.models import QueueRow, TaskRow
from errands.queue.states import TaskState
from errands.queue.store import Store
from tests.testapp import tasks

pytestmark = pytest.mark.django_db(transaction=True)

type Pick = Callable[..., list[str]]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def picker_of(clock: Clock) -> Callable[[str], QueuePicker]:
    def make(queues: str, *, threads: int = 5) -> QueuePicker:
        selection = Selection.parse(queues)
        return QueuePicker(Store("default"), selection, threads=threads, clock=clock)

    return make


def fill(**numbers: int) -> None:
    for queue, number in numbers.items():
        tasks.nothing.using(queue_name=queue).enqueue_many([((), {})] * number)


def pause(queue: str) -> None:
    QueueRow.objects.create(name=queue, paused_at=timezone.now())


def pick(picker: QueuePicker, most: int = 100, **told) -> list[str]:
    return [claim.queue for claim in picker.claim(uuid4(), most, **told)]


def test_queues_are_emptied_in_the_order_they_were_named(picker_of):
    fill(default=1, mail=1, pdf=1)

    picked = pick(picker_of("pdf,mail"))

    assert picked == ["pdf", "mail"]


def test_a_star_takes_the_highest_priority_of_all_queues(picker_of):
    fill(default=1)
    tasks.nothing.using(queue_name="mail", priority=10).enqueue()

    picked = pick(picker_of("*"))

    assert picked == ["mail", "default"]


def test_a_prefix_takes_every_queue_that_begins_so(picker_of):
    fill(mail=1, mail_bulk=1, Mail=1, email=1)

    picked = pick(picker_of("mail*"))

    assert sorted(picked) == ["mail", "mail_bulk"]


def test_another_queue_of_a_prefix_comes_first_each_time(picker_of):
    fill(a1=9, a2=9, a3=9)
    picker = picker_of("a*")

    picked = [pick(picker, 1)[0] for _ in range(6)]

    assert picked == ["a1", "a2", "a3"] * 2


def test_a_pool_takes_no_more_than_it_has_room_for(picker_of):
    fill(mail=5, default=5)
    picker = picker_of("mail:2,default:3")

    first = pick(picker)
    second = pick(picker, held=["mail", "default", "default", "default"])

    assert first == ["mail"] * 2 + ["default"] * 3
    assert second == ["mail"]


def test_a_pool_of_a_prefix_is_shared_by_its_queues(picker_of):
    fill(mail1=2, mail2=2)

    picked = pick(picker_of("mail*:3"))

    assert len(picked) == 3


def test_a_star_leaves_out_the_queues_with_pools_of_their_own(picker_of):
    fill(mail=5, pdf=1, zip=1)

    picked = pick(picker_of("mail:2,*", threads=4))

    assert sorted(picked) == ["mail", "mail", "pdf", "zip"]


def test_queues_without_a_pool_share_the_threads_of_the_worker(picker_of):
    fill(pdf=5, zip=5)
    picker = picker_of("mail:2,*", threads=3)

    assert len(pick(picker)) == 3
    assert pick(picker, held=["pdf", "zip", "mail"]) == ["zip"]


def test_tasks_that_wait_on_the_loop_take_no_thread(picker_of):
    fill(pdf=5)

    picked = pick(picker_of("mail:2,*", threads=1), held=["pdf"], awaiting=1)

    assert picked == ["pdf"]


@pytest.mark.parametrize("queues", ["*", "mail,default", "m*,d*", "mail:9,*"])
def test_a_paused_queue_is_not_claimed(picker_of, queues):
    fill(mail=2, default=1)
    pause("mail")

    picked = pick(picker_of(queues))

    assert picked == ["default"]


def test_a_pause_is_seen_within_a_second_and_its_end_at_once(picker_of, clock):
    fill(mail=3)
    picker = picker_of("*")
    before = pick(picker, 1)

    pause("mail")
    clock.now += 1.0
    paused = pick(picker, 1)
    QueueRow.objects.all().delete()
    resumed = pick(picker, 1)

    assert (before, paused, resumed) == (["mail"], [], ["mail"])


def test_a_glance_reads_no_pauses_and_leaves_them_to_the_next_claim(picker_of, clock):
    fill(mail=3)
    picker = picker_of("*")
    pick(picker, 1)
    clock.now += 6.0

    picker.trust_pauses()
    glanced = pick(picker, 1)
    pause("mail")
    after_the_pause = pick(picker, 1)

    assert (glanced, after_the_pause) == (["mail"], [])


def test_a_glance_after_a_while_reads_them_for_a_ring_may_be_lost(picker_of, clock):
    fill(mail=3)
    picker = picker_of("*")
    pick(picker, 1)
    pause("mail")

    clock.now += 14.0
    picker.trust_pauses()
    trusted = pick(picker, 1)
    clock.now += 1.0
    picker.trust_pauses()
    read = pick(picker, 1)

    assert (trusted, read) == (["mail"], [])


def test_a_new_queue_is_seen_once_the_known_ones_run_dry(picker_of):
    fill(a1=1)
    picker = picker_of("a*")

    first = pick(picker)
    fill(a2=1)
    second = pick(picker)

    assert (first, second) == (["a1"], ["a2"])


@pytest.mark.parametrize(
    ("queues", "left", "is_drained"),
    [
        ("m*", "pdf", True),
        ("m*", "mail", False),
        ("M*", "mail", True),
        ("mail:2", "mail", False),
        ("mail:2", "mailing", True),
        ("mail:2,*", "pdf", False),
    ],
)
def test_it_is_drained_when_nothing_it_would_claim_is_left(
    picker_of, queues, left, is_drained
):
    fill(**{left: 1})

    assert picker_of(queues).is_drained() == is_drained


def test_what_is_paused_keeps_no_burst_waiting(picker_of):
    fill(mail=1)
    pause("mail")

    assert picker_of("*").is_drained()


@pytest.mark.parametrize("state", [TaskState.BLOCKED, TaskState.RUNNING])
def test_what_waits_for_a_slot_or_runs_elsewhere_is_waited_for(picker_of, state):
    fill(mail=1)
    TaskRow.objects.update(state=state)

    assert not picker_of("*").is_drained()


def test_what_is_due_later_is_not_waited_for(picker_of):
    tasks.nothing.using(run_after=timedelta(hours=1)).enqueue()

    assert picker_of("*").is_drained()
