"""What the command line asks for."""

from argparse import ArgumentParser
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.contest import ENGINES
from bench.peers import MODULES

MEASURES = ("enqueue", "drain", "slow", "pickup", "idle", "recovery", "claims", "pages")


@dataclass(frozen=True, slots=True)
class Options:
    """Sizes and choices of one run; the defaults take some 20 minutes."""

    only: tuple[str, ...] = MEASURES
    peers: tuple[str, ...] = tuple(MODULES)
    engines: tuple[str, ...] = ENGINES
    repeats: int = 3
    enqueue_turns: int = 5
    enqueue_seconds: float = 1.0
    many: int = 20_000
    share: float = 1.0
    backlog: int = 100_000
    slow: int = 500
    samples: int = 150
    sample_seconds: float = 12.0
    idle_seconds: float = 20.0
    deferred: int = 1_000_000
    idle_transaction: float = 60.0
    recoveries: int = 5
    save: Path | None = None


QUICK: dict[str, Any] = {
    "repeats": 1,
    "enqueue_turns": 1,
    "enqueue_seconds": 0.5,
    "many": 5_000,
    "share": 0.3,
    "backlog": 30_000,
    "slow": 200,
    "samples": 40,
    "sample_seconds": 4.0,
    "idle_seconds": 8.0,
    "deferred": 100_000,
    "idle_transaction": 10.0,
    "recoveries": 3,
}


def parse(arguments: list[str] | None = None) -> Options:
    """Read the command line; a wrong name ends it with the right ones."""
    parser = ArgumentParser("python -m bench", description="Measure, beside peers.")
    for name, choices in (("only", MEASURES), ("peers", MODULES), ("engines", ENGINES)):
        parser.add_argument(f"--{name}", help=f"some of: {','.join(choices)}")
    parser.add_argument("--quick", action="store_true", help="small sizes, one repeat")
    parser.add_argument("--repeats", type=int, metavar="N")
    parser.add_argument(
        "--idle-transaction", type=float, metavar="S", help="60; the bar asks for 600"
    )
    parser.add_argument(
        "--save", type=Path, metavar="DIR", help="write benchmarks.md and .svg there"
    )
    told = vars(parser.parse_args(arguments))
    chosen: dict[str, Any] = QUICK.copy() if told.pop("quick") else {}
    for name, choices in (("only", MEASURES), ("peers", MODULES), ("engines", ENGINES)):
        if text := told.pop(name):
            chosen[name] = tuple(text.split(","))
            if unknown := set(chosen[name]) - set(choices):
                parser.error(
                    f"--{name} does not know {', '.join(sorted(unknown))}; "
                    f"it knows {', '.join(choices)}"
                )
    return Options(**chosen, **{key: new for key, new in told.items() if new is not None})
