"""Run tasks under a nemesis, then check every one of them.

::

    python -m tests.torture.soak --tasks 100000 --kills 200 --zombies 20
        --restarts 10 --seed 1 --database postgresql

The last line is the verdict; the exit code is 1 if a bar is broken.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.torture.soak.ledger import VARIABLE
from tests.torture.soak.servers import SERVERS
from tests.torture.soak.trees import ROOT


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--zombies", type=int, default=2)
    parser.add_argument("--restarts", type=int, default=1)
    parser.add_argument("--trees", type=int, default=3)
    parser.add_argument("--producers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10_000)
    parser.add_argument("--database", choices=SERVERS, default="postgresql")
    slack = "Seconds that a recovery may take beyond a lease and a sweep."
    parser.add_argument("--slack", type=float, default=0.0, help=slack)
    parser.add_argument("--keep", action="store_true", help="Leave the logs behind.")
    return parser.parse_args()


def main() -> int:
    """Soak, and return the exit code."""
    options = parse()
    directory = Path(tempfile.mkdtemp(prefix="errands-soak-"))
    (directory / "ledger").mkdir()
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "tests.torture.soak.settings",
        "ERRANDS_TEST_DIRECTORY": str(directory),
        VARIABLE: str(directory / "ledger"),
        "PYTHONPATH": os.pathsep.join(
            filter(None, [os.environ.get("PYTHONPATH"), str(ROOT / "src"), str(ROOT)])
        ),
    }
    say(f"seed={options.seed} database={options.database} directory={directory}")
    with ExitStack() as stack:
        if not options.keep:
            stack.callback(shutil.rmtree, directory, ignore_errors=True)
        server = SERVERS[options.database](directory)
        stack.callback(server.stop)
        # Only now is it known which database the site has.
        from tests.torture.soak.soaking import Soak

        started_at = time.monotonic()
        soak = Soak(options, directory, server)
        stack.callback(soak.end)
        verdict = soak.run()
        say(f"took {time.monotonic() - started_at:.0f} s")
    for example in verdict.examples:
        say(example)
    deeds, bar = soak.nemesis.deeds, soak.longest_recovery + options.slack
    slow = verdict.percentile(0.99) > bar
    if slow:
        say("\n".join([f"recovery p99 is above {bar:.1f} s", *verdict.slowest]))
    say(
        f"tasks={verdict.tasks} kills={deeds.kills} zombies={deeds.zombies} "
        f"restarts={deeds.restarts} lost={verdict.lost} "
        f"unexplained_duplicates={verdict.unexplained_duplicates} "
        f"duplicate_transactional_effects={verdict.duplicate_transactional_effects} "
        f"stuck={verdict.stuck} recovery_p50={verdict.percentile(0.5):.2f} "
        f"recovery_p99={verdict.percentile(0.99):.2f} phantom={verdict.phantom} "
        f"attempts_overrun={verdict.attempts_overrun} duplicates={verdict.duplicates}"
    )
    return 1 if verdict.broken or slow else 0


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
