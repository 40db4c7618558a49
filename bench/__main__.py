"""``python -m bench``: interleaved repeats, medians and ratios, as Markdown."""

import os
import platform
from statistics import median

os.environ["DJANGO_SETTINGS_MODULE"] = "bench.settings"
os.environ["PYTHONPATH"] = os.pathsep.join(["src", "."])

REPEATS = 3


def main() -> None:
    """Make a database, let the contenders take turns, print the tables."""
    import django

    django.setup()
    from django.db import connection

    from errands.sidecar import sidecar

    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    os.environ["ERRANDS_BENCH_DATABASE"] = connection.settings_dict["NAME"]
    print(
        f"PostgreSQL on the same machine, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}.\n"
    )
    try:
        _drain_in_turns()
        _pages()
    finally:
        sidecar().close()
        connection.creation.destroy_test_db("postgres", verbosity=0)


def _drain_in_turns() -> None:
    from bench.drain import CONTENDERS, drain

    rates: dict[str, list[float]] = {contender.name: [] for contender in CONTENDERS}
    for _ in range(REPEATS):
        for contender in CONTENDERS:
            rates[contender.name].append(drain(contender))
    ours = median(rates["errands"])
    print(f"No-op tasks drained by one process, median of {REPEATS}:\n")
    print("| engine | tasks/s | errands is faster by |\n| --- | ---: | ---: |")
    for name, measured in rates.items():
        rate = median(measured)
        print(f"| {name} | {rate:,.0f} | {ours / rate:.1f}× |")


def _pages() -> None:
    from bench.pages import WAITING, p95_milliseconds

    print(f"\nRequests while {WAITING:,} tasks wait:\n")
    print("| request | p95 |\n| --- | ---: |")
    for request, milliseconds in p95_milliseconds().items():
        print(f"| {request} | {milliseconds:.1f} ms |")


if __name__ == "__main__":
    main()
