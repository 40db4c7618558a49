"""The ids of tasks: random UUIDs, written as text."""

from os import urandom

DIGITS = 32
VARIANTS = "89ab" * 4


def new_ids(number: int) -> list[str]:
    """Return random UUIDs of version 4, as the 32 digits every database takes.

    ``uuid.uuid4`` makes an object of each, after asking the system for each.
    """
    digits = urandom(number * DIGITS // 2).hex()
    starts = range(0, len(digits), DIGITS)
    return [_marked(digits[start : start + DIGITS]) for start in starts]


def with_hyphens(digits: str) -> str:
    """Return a UUID as ``str(UUID)`` writes it."""
    groups = digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]
    return "-".join(groups)


def _marked(digits: str) -> str:
    variant = VARIANTS[int(digits[16], 16)]
    return f"{digits[:12]}4{digits[13:16]}{variant}{digits[17:]}"
