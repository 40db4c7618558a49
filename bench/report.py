"""The results as Markdown."""

import os
import platform
from collections.abc import Callable
from statistics import median
from typing import Any

from bench import bars
from bench.contest import Contestant, Results
from bench.noise import verdict
from bench.peers import find

RATES = {
    "enqueue one": "Enqueue one at a time, one process",
    "enqueue many": "Enqueue many at once",
    "drain 1": "Drain no-op tasks with 1 process",
    "drain 2": "Drain no-op tasks with 2 processes",
    "backlog": "Drain a backlog of no-op tasks with 1 process",
}
HOME = {
    "postgresql": "PostgreSQL",
    "redis": "Redis",
    "sqlite": "SQLite",
    "mysql": "MariaDB",
}
# Which of our engines a queue is held against, and in which order they are told.
RIVALS = {
    "postgresql": "postgresql",
    "redis": "postgresql",
    "sqlite": "sqlite",
    "mysql": "mysql",
}


def markdown(results: Results, *, repeats: int) -> str:
    """Return everything that was measured, bars last."""
    machine = (
        f"{os.cpu_count()} cores, shared with the servers; Python "
        f"{platform.python_version()}, {platform.system()}. Medians of {repeats} "
        "interleaved repeats, lowest and highest beside them."
    )
    parts = [
        machine,
        verdict(results.probes),
        *(_rates(results, measure, title) for measure, title in RATES.items()),
        _slow(results),
        _table(results, "pick_up", head=PICK_UP, cells=_pick_up),
        _table(results, "idle", head=IDLE, cells=_idle),
        _ours(results),
        _not_run(results),
        "## Bars\n\n" + bars.table(results),
        bars.reasons(results),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def fair_settings(modules: list[str]) -> str:
    """Return the settings of each peer as a Markdown table."""
    rows = ["| queue | on | settings |\n| --- | --- | --- |"]
    for module in modules:
        try:
            peer = find(module)
        except ImportError as error:
            rows.append(f"| {module} | – | not installed: {error} |")
            continue
        homes = ", ".join(HOME[engine] for engine in peer.engines)
        rows.append(f"| {peer.name} | {homes} | {peer.fair} |")
    return "\n".join(rows)


def _rates(results: Results, measure: str, title: str) -> str:
    measured = results.measured.get(measure)
    if not measured:
        return ""
    ours = {
        contestant.engine: median(answers)
        for contestant, answers in measured.items()
        if contestant.module == "errands"
    }
    rows = [
        f"## {title}",
        "",
        "| queue | on | tasks/s | range | errands is faster by |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for contestant, answers in _fastest_first(measured):
        rate = median(answers)
        rival = ours.get(RIVALS[contestant.engine])
        ratio = f"{rival / rate:.2f}×" if rival else "–"
        rows.append(
            f"| {contestant.name} | {HOME[contestant.engine]} | {rate:,.0f} "
            f"| {min(answers):,.0f}–{max(answers):,.0f} | {ratio} |"
        )
    return "\n".join([*rows, *_gaps(results, measure, columns=5)])


def _fastest_first(
    measured: dict[Contestant, list[Any]],
) -> list[tuple[Contestant, list[Any]]]:
    order = list(dict.fromkeys(RIVALS.values()))
    return sorted(
        measured.items(),
        key=lambda item: (order.index(RIVALS[item[0].engine]), -median(item[1])),
    )


def _slow(results: Results) -> str:
    measured = results.measured.get("slow")
    if not measured:
        return ""
    rows = [
        "## Tasks of 20 ms in one process with 5 threads",
        "",
        "| queue | on | share of the ideal | range |",
        "| --- | --- | ---: | ---: |",
    ]
    for contestant, answers in _fastest_first(measured):
        rows.append(
            f"| {contestant.name} | {HOME[contestant.engine]} | {median(answers):.0%} "
            f"| {min(answers):.0%}–{max(answers):.0%} |"
        )
    return "\n".join([*rows, *_gaps(results, "slow", columns=4)])


PICK_UP = (
    "Pick-up by an idle worker, from `enqueue` to the first line",
    "| queue | on | p50 | p99 |",
    "| --- | --- | ---: | ---: |",
)
IDLE = (
    "An idle worker of one process",
    "| queue | on | RSS | all processes | `manage.py shell` | CPU | per second |",
    "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
)


def _pick_up(answer: Any) -> str:
    p50, p99 = answer
    return f"{p50:.1f} ms | {p99:.1f} ms"


def _idle(answer: Any) -> str:
    rss, tree, shell, cpu, rounds = answer
    beside = f"{shell:.0f} MB" if shell else "–"
    return f"{rss:.0f} MB | {tree:.0f} MB | {beside} | {cpu:.2f} % | {rounds:.1f}"


def _table(
    results: Results, measure: str, *, head: tuple[str, ...], cells: Callable[[Any], str]
) -> str:
    measured = results.measured.get(measure)
    if not measured:
        return ""
    title, *lines = head
    rows = [f"## {title}", "", *lines]
    for contestant, answers in measured.items():
        home = HOME[contestant.engine]
        rows.append(f"| {contestant.name} | {home} | {cells(answers[-1])} |")
    return "\n".join([*rows, *_gaps(results, measure, columns=lines[0].count("|") - 1)])


def _gaps(results: Results, measure: str, *, columns: int) -> list[str]:
    failed = results.failed.get(measure, {})
    return [
        f"| {contestant.name} | {HOME[contestant.engine]} | **not run** |"
        + " |" * (columns - 3)
        for contestant in failed
    ]


def _ours(results: Results) -> str:
    rows = []
    for contestant, answers in results.measured.get("recovery", {}).items():
        rows.append(
            f"| all processes killed, until 5 stranded tasks run in a new worker "
            f"({HOME[contestant.engine]}) | {answers[-1]:.2f} s |"
        )
    for answers in results.measured.get("claims", {}).values():
        empty, swollen, finished = answers[-1]
        rows.append(f"| claim's p95, empty queue | {empty:.2f} ms |")
        rows.append(
            "| claim's p95, deferred tasks and an idle transaction over "
            f"{finished:,} finished tasks | {swollen:.2f} ms |"
        )
    for answers in results.measured.get("pages", {}).values():
        rows += [
            f"| p95 of a request while 100,000 tasks wait: {page} | {p95:.1f} ms |"
            for page, p95 in answers[-1].items()
        ]
    if not rows:
        return ""
    return "\n".join(["## Only errands", "", "| what | |\n| --- | ---: |", *rows])


def _not_run(results: Results) -> str:
    rows = [
        f"| {contestant.name} on {HOME[contestant.engine]} | {measure} | {reason} |"
        for measure, failures in results.failed.items()
        for contestant, reason in failures.items()
    ]
    if not rows:
        return ""
    return "\n".join(
        ["## NOT RUN", "", "| queue | what | why |\n| --- | --- | --- |", *rows]
    )
