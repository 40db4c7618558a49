"""How long a person waits for the start of a job and for its page.

Measured with Django's test client, through all middleware, while the queue
holds 100,000 waiting tasks.
"""

import time
from collections.abc import Callable
from statistics import quantiles

from django.contrib.auth.models import User
from django.http import HttpResponseBase
from django.test import Client

from bench.errands_tasks import nothing

WAITING = 100_000
REQUESTS = 200


def p95_milliseconds() -> dict[str, float]:
    """Return the 95th percentile of each request, in milliseconds."""
    nothing.enqueue_many([((), {})] * WAITING)
    client = Client()
    client.force_login(User.objects.create_user("bench"))
    page = client.post("/start").headers["Location"]
    return {
        "POST that starts a job": _p95(lambda: client.post("/start")),
        "job page": _p95(lambda: client.get(page)),
        "JSON state": _p95(lambda: client.get(f"{page}state.json")),
        "my jobs": _p95(lambda: client.get("/jobs/")),
    }


def _p95(request: Callable[[], HttpResponseBase]) -> float:
    request()
    durations = []
    for _ in range(REQUESTS):
        started = time.perf_counter()
        status = request().status_code
        durations.append((time.perf_counter() - started) * 1000)
        if status >= 400:
            raise RuntimeError(f"answered {status}")
    return quantiles(durations, n=20)[-1]
