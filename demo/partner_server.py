"""A partner's aircraft register: slow, flaky, and it wants a key.

It stands for any service on the other side of a network. A key buys a pass
that is good for ten minutes; with it, ten calls fetch 300 planes each. Which
call fails, and which is slow, follows from a fixed seed: the n-th try of a
page always ends alike.

    POST /pass              Authorization: Bearer <key>   → {"pass": …}
    GET  /planes?page=1…10  Authorization: Bearer <pass>  → {"planes": [300]}
"""

import hmac
import json
import random
import secrets
import sys
import time
from collections import Counter
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from threading import Lock
from typing import Any
from urllib.parse import parse_qs, urlsplit

from flights import dataset

KEY = "nyc-2013"
SLOW_KEY = "slow-2013"
SLOW_KEY_TAKES = 4.0
PAGES, PAGE_SIZE = 10, 300
PASS_LASTS = 600

SEED = 281
LATENCY, SLOW_LATENCY = 0.4, 1.8
FAILS, IS_SLOW = 0.35, 0.25
ANSWERS_AT_LEAST_EACH = 4


class PartnerServer(ThreadingHTTPServer):
    """Serves the register; what it knows of its callers is lost when it ends."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        super().__init__(address, PartnerHandler)
        self._secret = secrets.token_bytes(32)
        self._tries: Counter[tuple[str, int]] = Counter()
        self._lock = Lock()

    @property
    def url(self) -> str:
        """Where the server listens."""
        return f"http://{self.server_address[0]!s}:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a caller who has given up waiting."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def make_pass(self) -> str:
        """Return a pass: when it ends and a random number, signed."""
        claim = f"{int(time.time()) + PASS_LASTS}.{secrets.token_hex(8)}"
        return f"{claim}.{self._signature(claim)}"

    def accepts(self, given: str) -> bool:
        """Return whether a pass is one of ours and has not ended."""
        claim, _, signature = given.rpartition(".")
        expected = self._signature(claim)
        is_ours = hmac.compare_digest(signature.encode(), expected.encode())
        return is_ours and int(claim.partition(".")[0]) > time.time()

    def luck(self, caller: str, page: int) -> random.Random:
        """Return what decides the fate of a caller's next try of a page."""
        with self._lock:
            self._tries[caller, page] += 1
            nth = self._tries[caller, page]
        return random.Random(f"{SEED} {page} {nth}")

    def tries(self, caller: str, page: int) -> int:
        """Return how often a caller has asked for a page."""
        return self._tries[caller, page]

    def _signature(self, claim: str) -> str:
        return hmac.digest(self._secret, claim.encode(), "sha256").hex()


class PartnerHandler(BaseHTTPRequestHandler):
    """Answers one call."""

    server: PartnerServer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Exchange a key for a pass."""
        key = self._credential()
        if key == SLOW_KEY:
            time.sleep(SLOW_KEY_TAKES)
        if key not in {KEY, SLOW_KEY}:
            return self._answer(401, {"error": "unknown key"})
        return self._answer(200, {"pass": self.server.make_pass()})

    def do_GET(self) -> None:
        """Return a page of planes, unless the dice say otherwise."""
        caller = self._credential()
        if not self.server.accepts(caller):
            return self._answer(401, {"error": "the pass has ended"})
        page = self._page()
        if page not in range(1, PAGES + 1):
            return self._answer(404, {"error": "no such page"})
        luck = self.server.luck(caller, page)
        time.sleep(SLOW_LATENCY if luck.random() < IS_SLOW else LATENCY)
        is_patient = self.server.tries(caller, page) >= ANSWERS_AT_LEAST_EACH
        if luck.random() < FAILS and not is_patient:
            return self._answer(503, {"error": "try again"})
        return self._answer(200, {"planes": planes(page)})

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing: nobody reads the partner's log."""

    def _credential(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def _page(self) -> int:
        asked = parse_qs(urlsplit(self.path).query).get("page", [""])[0]
        return int(asked) if asked.isdecimal() else 0

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@cache
def planes(page: int) -> list[dict[str, str]]:
    """Return the planes of a page."""
    first = (page - 1) * PAGE_SIZE
    return list(islice(dataset.rows("planes.csv"), first, first + PAGE_SIZE))
