"""The checker finds what it looks for, and nothing else."""

from collections import Counter
from collections.abc import Sequence

from tests.torture.soak.checker import SUCCEEDED, Checker, Database, Verdict
from tests.torture.soak.ledger import Event
from tests.torture.soak.nemesis import Deeds

ENQUEUED = Event("A", "one", 0, 0, 1, at=1.0, wall=1001.0)


def attempt(kind: str, *, token: int, pid: int, at: float) -> Event:
    return Event(kind, "one", 1, token, pid, at=at, wall=1000.0 + at)


def judged(
    *events: Event,
    token: int = 1,
    effects: int | None = None,
    killed: dict[int, tuple[float, float]] | None = None,
    leases: dict[int, list[tuple[float, float]]] | None = None,
    outages: Sequence[tuple[float, float]] = (),
) -> Verdict:
    database = Database(
        statuses={"one": SUCCEEDED} if token else {},
        tokens={"one": token},
        live=0,
        effects=Counter({"one": effects or 0}),
        transactional=set() if effects is None else {"one"},
        leases=leases or {},
    )
    deeds = Deeds(killed=killed or {}, outages=[*outages])
    return Checker([ENQUEUED, *events], deeds, database).check(max_attempts=3)


FIRST = [attempt("S", token=1, pid=7, at=2.0), attempt("E", token=1, pid=7, at=2.5)]
CUT_SHORT = FIRST[:1]
SECOND = [attempt("S", token=2, pid=8, at=9.0), attempt("E", token=2, pid=8, at=9.5)]


def test_a_task_that_ran_once_breaks_nothing() -> None:
    assert judged(*FIRST).broken == []


def test_an_acknowledged_task_without_a_result_is_lost() -> None:
    assert judged(*FIRST, token=0).broken == ["lost"]


def test_a_result_without_an_attempt_is_a_phantom() -> None:
    assert judged().broken == ["phantom"]


def test_a_second_start_without_a_reason_is_unexplained() -> None:
    assert judged(*CUT_SHORT, *SECOND, token=2).broken == ["unexplained_duplicates"]


def test_a_second_start_after_the_death_of_the_first_is_explained() -> None:
    verdict = judged(*CUT_SHORT, *SECOND, token=2, killed={7: (3.0, 3.1)})

    assert verdict.broken == []
    assert verdict.recoveries == [(6.0, "one")]


def test_a_process_works_on_until_it_has_died() -> None:
    meanwhile = judged(*CUT_SHORT, *SECOND, token=2, killed={7: (1.9, 2.1)})
    before = judged(*CUT_SHORT, *SECOND, token=2, killed={7: (1.7, 1.9)})

    assert meanwhile.broken == []
    assert before.broken == ["unexplained_duplicates"]


def test_so_does_one_that_a_task_ends_by_itself() -> None:
    just_before = attempt("X", token=1, pid=7, at=1.9)
    long_before = attempt("X", token=1, pid=7, at=1.4)

    assert judged(just_before, *CUT_SHORT, *SECOND, token=2).broken == []
    assert judged(long_before, *CUT_SHORT, *SECOND, token=2).broken == [
        "unexplained_duplicates"
    ]


def test_a_second_start_before_the_lease_is_over_is_unexplained() -> None:
    early = judged(*CUT_SHORT, *SECOND, token=2, leases={7: [(1000.0, 1009.1)]})
    late = judged(*CUT_SHORT, *SECOND, token=2, leases={7: [(1000.0, 1008.9)]})

    assert early.broken == ["unexplained_duplicates"]
    assert late.broken == []


def test_an_outage_explains_a_second_start_if_no_lease_outlives_it() -> None:
    long = judged(*FIRST, *SECOND, token=2, outages=[(2.4, 5.0)])
    short = judged(*FIRST, *SECOND, token=2, outages=[(2.4, 4.0)])
    twice = judged(*FIRST, *SECOND, token=2, outages=[(2.4, 4.0), (4.5, 6.0)])
    apart = judged(*FIRST, *SECOND, token=2, outages=[(2.4, 4.0), (6.0, 7.5)])

    assert long.broken == twice.broken == []
    assert short.broken == apart.broken == ["unexplained_duplicates"]


def test_a_cut_connection_explains_a_second_start_in_a_transaction_only() -> None:
    cut = [(2.6, 2.6)]

    within = judged(*FIRST, *SECOND, token=2, effects=1, outages=cut)
    without = judged(*FIRST, *SECOND, token=2, outages=cut)

    assert within.broken == []
    assert without.broken == ["unexplained_duplicates"]


def test_a_lease_that_was_lost_long_ago_explains_nothing() -> None:
    later = [
        attempt("S", token=1, pid=7, at=902.0),
        attempt("S", token=2, pid=8, at=909.0),
    ]
    ended = attempt("E", token=2, pid=8, at=910.0)

    verdict = judged(*later, ended, token=2, leases={7: [(1000.0, 1003.0)]})

    assert verdict.broken == ["unexplained_duplicates"]


def test_a_thawed_process_may_start_what_it_had_claimed_after_its_successor() -> None:
    zombie = attempt("S", token=1, pid=7, at=10.0)

    verdict = judged(zombie, *SECOND, token=2, leases={7: [(1000.0, 1008.0)]})

    assert verdict.broken == []


def test_an_effect_that_is_there_twice_or_not_at_all_is_counted() -> None:
    assert judged(*FIRST, effects=1).broken == []
    assert judged(*FIRST, effects=2).broken == ["duplicate_transactional_effects"]
    assert judged(*FIRST, effects=0).broken == ["duplicate_transactional_effects"]
