"""What runs can be asked for."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import AnonymousUser, User

from errands.runs.models import Grant, Run
from errands.runs.states import ENDED, OPEN, State
from tests.testapp.models import Account, ClosedAccount

type NewRun = Callable[..., Run]

pytestmark = pytest.mark.django_db


def test_a_run_is_visible_to_its_owner(new_run: NewRun, ann: User) -> None:
    run = new_run(owner=ann)

    assert list(Run.objects.visible_to(ann)) == [run]


def test_a_run_is_visible_to_nobody_else(new_run: NewRun, ann: User) -> None:
    new_run(owner=ann)
    new_run(owner=None)
    bob = User.objects.create_user("bob")

    for stranger in (bob, AnonymousUser(), None, User()):
        assert list(Run.objects.visible_to(stranger)) == []


def test_a_granted_run_is_visible_once(new_run: NewRun, ann: User) -> None:
    run = new_run(owner=ann)
    bob = User.objects.create_user("bob")

    run.grant(bob)
    run.grant(bob)
    run.grant(ann)

    assert list(Run.objects.visible_to(bob)) == [run]
    assert list(Run.objects.visible_to(ann)) == [run]
    assert Grant.objects.filter(user=bob).count() == 1


def test_a_run_outlives_its_owner(new_run: NewRun, ann: User) -> None:
    run = new_run(owner=ann)

    ann.delete()

    assert Run.objects.get(pk=run.pk).owner is None


def test_runs_are_found_by_their_subject(new_run: NewRun) -> None:
    account, other = Account.objects.create(), Account.objects.create()
    run = new_run(subject=account)
    new_run(subject=other)
    new_run()

    assert list(Run.objects.about(account)) == [run]


def test_a_proxy_is_the_same_subject_as_its_record(new_run: NewRun) -> None:
    account = Account.objects.create()
    run = new_run(subject=ClosedAccount.objects.get(pk=account.pk))

    assert list(Run.objects.about(account)) == [run]


@pytest.mark.parametrize("user", [None, 5, AnonymousUser(), User()])
def test_a_run_is_not_granted_to_who_has_no_account(
    new_run: NewRun, user: object
) -> None:
    with pytest.raises(TypeError, match=r"grant\(.+\): it takes a user who has an acc"):
        new_run().grant(user)


def test_runs_are_not_asked_for_by_what_is_no_record() -> None:
    with pytest.raises(TypeError) as refusal:
        Run.objects.about(5)  # type: ignore[arg-type]

    assert str(refusal.value) == (
        "subject is 5; it takes the record that the run is about."
    )


def test_every_state_is_either_open_or_final() -> None:
    assert set(OPEN) | set(ENDED) == set(State)
    assert set(OPEN).isdisjoint(ENDED)


@pytest.mark.parametrize("state", State)
def test_open_runs_are_those_that_have_not_finished(
    new_run: NewRun, state: State
) -> None:
    run = new_run()
    Run.objects.update(state=state)
    run.refresh_from_db()

    assert Run.objects.open().exists() is not run.is_finished
