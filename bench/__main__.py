"""``python -m bench``: our queue beside its peers, in one run, as Markdown."""

import os
import sys
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from bench import chart, report
from bench.contest import Contest, Contestant, Results, contest
from bench.options import Options, parse
from bench.peers import find

HEAD = """# Benchmarks

Our queue beside others, measured in one run on one machine, each peer with its
own best documented settings, in a process and a database of its own. Numbers of
another machine differ; the ratios are what to look at. `make bench` repeats it.

![Tasks per second of each queue](benchmarks.svg)
"""

FAIR = """## Settings

A drain counts from the start of the first task until the queue's own tables say
that none is left, of some 2 s of work, or of a backlog of 100,000 for those that do
it in seconds; every task notes its start in memory of its thread, which costs about a
microsecond: the same for all, and so a larger share for the fastest. Enqueue
is one process, each task committed before the next, in five turns of a second each
repeat. Slow tasks sleep for 20 ms;
they are run by queues that have threads, by five of them in one process, and the
ideal is five threads that do nothing else. Pick-up counts from the call of
`enqueue` to the first line of the task, in an idle worker of one process, at
random intervals. PostgreSQL runs as installed (`fsync` and `synchronous_commit`
on), so does MariaDB, where the rounds of an idle worker are statements; on SQLite
everybody has WAL and waits for the disk at each commit (`synchronous` as by default).
"""


def main() -> None:
    """Measure what the command line asks for, and print it."""
    # Relative, so that stands and workers find the package where we did.
    os.environ["PYTHONPATH"] = os.pathsep.join(["src", "."])
    options = parse()
    logs = Path(mkdtemp(prefix="errands-bench-logs-"))
    print(f"What the peers print is in {logs}", file=sys.stderr)
    contestants, missing = _contestants(options)
    with contest(contestants, logs) as running:
        for contestant, reason in missing.items():
            running.results.fail("all", contestant, reason)
        _measure(running, options)
    _print(running.results, options)


def _contestants(options: Options) -> tuple[list[Contestant], dict[Contestant, str]]:
    found, missing = [], {}
    for module in options.peers:
        try:
            peer = find(module)
        except ImportError as error:
            missing[Contestant(module, module, options.engines[0])] = str(error)
            continue
        engines = [engine for engine in options.engines if engine in peer.engines]
        found += [Contestant(module, peer.name, engine) for engine in engines]
    return found, missing


def _measure(running: Contest, options: Options) -> None:
    for repeat in range(options.repeats):
        print(f"Repeat {repeat + 1} of {options.repeats}", file=sys.stderr)
        if "enqueue" in options.only:
            _measure_enqueue(running, options)
        if "drain" in options.only:
            _measure_drain(running, options)
        if "slow" in options.only:
            running.turn("slow", of=_has_threads, number=options.slow)
    if "pickup" in options.only:
        seconds = options.sample_seconds
        running.turn("pick_up", samples=options.samples, seconds=seconds)
    if "idle" in options.only:
        running.together("idle", seconds=options.idle_seconds)
    _measure_ours(running, options)


def _measure_enqueue(running: Contest, options: Options) -> None:
    # Short turns: the machine, and its disk, change from minute to minute.
    for _ in range(options.enqueue_turns):
        seconds = options.enqueue_seconds
        running.turn("enqueue_each", "enqueue one", seconds=seconds)
    running.turn("enqueue_many", "enqueue many", number=options.many)


def _measure_drain(running: Contest, options: Options) -> None:
    for processes in (1, 2):
        drain: dict[str, Any] = {"processes": processes, "share": options.share}
        running.turn("drain", f"drain {processes}", **drain)
    running.turn("backlog", of=_is_quick, number=options.backlog)


def _is_quick(contestant: Contestant) -> bool:
    return contestant.engine == "postgresql" and find(contestant.module).is_quick


def _has_threads(contestant: Contestant) -> bool:
    return find(contestant.module).is_threaded


def _measure_ours(running: Contest, options: Options) -> None:
    on_postgresql = Contestant("errands", "errands", "postgresql")
    on_sqlite = Contestant("errands", "errands", "sqlite")
    if "recovery" in options.only:
        for contestant in (on_postgresql, on_sqlite):
            running.alone(contestant, "recovery", repeats=options.recoveries)
    if "claims" in options.only:
        seconds, deferred = options.idle_transaction, options.deferred
        running.alone(on_postgresql, "claims", deferred=deferred, seconds=seconds)
    if "pages" in options.only:
        running.alone(on_postgresql, "pages")


def _print(results: Results, options: Options) -> None:
    text = report.markdown(results, repeats=options.repeats)
    print(text)
    if options.save:
        options.save.mkdir(parents=True, exist_ok=True)
        fair = FAIR + "\n" + report.fair_settings(list(options.peers))
        page = "\n".join([HEAD, text, fair])
        (options.save / "benchmarks.md").write_text(page + "\n")
        (options.save / "benchmarks.svg").write_text(chart.svg(results))


if __name__ == "__main__":
    main()
