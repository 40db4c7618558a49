"""How this site talks to the partner's aircraft register."""

import json
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

CHECK_TIMEOUT = 2.0
CALL_TIMEOUT = 5.0
ANSWER_LIMIT = 1024 * 1024
PAGES = 10


class PartnerError(Exception):
    """The register did not do what it was asked."""


class Refused(PartnerError):
    """It does not accept the key, or the pass has ended."""


class Unavailable(PartnerError):
    """It did not answer in time, or said that it cannot now."""


def obtain_pass(key: str) -> str:
    """Exchange a key for a pass of ten minutes; waits at most 2 seconds."""
    answer = _call("POST", "/pass", credential=key, timeout=CHECK_TIMEOUT)
    return str(answer["pass"])


def fetch_planes(access_pass: str, page: int) -> list[dict[str, str]]:
    """Return the 300 planes of a page, 1 to 10."""
    path = f"/planes?page={page}"
    answer = _call("GET", path, credential=access_pass, timeout=CALL_TIMEOUT)
    return list(answer["planes"])


def _call(method: str, path: str, *, credential: str, timeout: float) -> dict[str, Any]:
    address = urlsplit(settings.DEMO_PARTNER_URL)
    connection = HTTPConnection(address.hostname or "", address.port, timeout=timeout)
    headers = {"Authorization": f"Bearer {credential}", "Content-Length": "0"}
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        content = response.read(ANSWER_LIMIT)
    except ValueError as error:
        raise Refused("no header can carry this key") from error
    except TimeoutError as error:
        raise Unavailable(f"no answer within {timeout:g} seconds") from error
    except (OSError, HTTPException) as error:
        raise Unavailable("no connection") from error
    finally:
        connection.close()
    if response.status == 401:
        raise Refused("unknown key or expired pass")
    if response.status != 200:
        raise Unavailable(f"status {response.status}")
    return dict(json.loads(content))
