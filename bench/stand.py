"""``python -m bench.stand``: the process in which one peer is measured.

Reads one command as a line of JSON, answers with one line, until standard
input ends. Whatever a peer prints goes to its log.
"""

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from bench.measures import ours, rest, speed
from bench.peers import find
from bench.peers.peer import Peer, Place


def main(name: str, place: Place, log: Path) -> None:
    """Set the peer up, and measure what is asked for."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        measures = _measures(_set_up(name, place), log)
    except Exception as error:  # noqa: BLE001 - told, and no other peer stops
        traceback.print_exc()
        answers.write(json.dumps({"error": _said(error)}) + "\n")
        return
    answers.write(json.dumps({"answer": "ready"}) + "\n")
    for line in sys.stdin:
        measure, arguments = json.loads(line)
        try:
            answer = {"answer": measures[measure](**arguments)}
        except Exception as error:  # noqa: BLE001 - told, and the next may work
            traceback.print_exc()
            answer = {"error": _said(error)}
        answers.write(json.dumps(answer) + "\n")


def _measures(peer: Peer, log: Path) -> dict[str, Callable[..., Any]]:
    return {
        "enqueue_each": partial(speed.enqueue_each, peer),
        "enqueue_many": partial(speed.enqueue_many, peer),
        "drain": partial(speed.drain, peer, log=log),
        "backlog": partial(speed.backlog, peer, log=log),
        "slow": partial(speed.slow, peer, log=log),
        "pick_up": partial(rest.pick_up, peer, log=log),
        "idle": partial(rest.idle, peer, log=log),
        "recovery": partial(ours.recovery, peer, log=log),
        "claims": partial(ours.claims, peer, log=log),
        "pages": partial(ours.pages, peer),
    }


def _set_up(name: str, place: Place) -> Peer:
    # Before the import: some peers read it there.
    os.environ["ERRANDS_BENCH_URL"] = place.url
    peer_class = find(name)
    os.environ["ERRANDS_BENCH_APPS"] = json.dumps(peer_class.apps)
    os.environ["ERRANDS_BENCH_SETTINGS"] = json.dumps(peer_class.django_settings)
    if peer_class.apps:
        _set_up_django()
    peer = peer_class(place)
    peer.prepare()
    return peer


def _set_up_django() -> None:
    import django
    from django.core.management import call_command

    os.environ["DJANGO_SETTINGS_MODULE"] = "bench.settings"
    django.setup()
    call_command("migrate", verbosity=0)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


if __name__ == "__main__":
    _, module, engine, url, log = sys.argv
    main(module, Place(engine, url), Path(log))
