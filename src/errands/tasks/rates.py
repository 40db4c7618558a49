"""How often a task may start."""

import re
from dataclasses import dataclass
from datetime import timedelta

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
PATTERN = re.compile(r"([1-9]\d{0,8})/([smhd])")


@dataclass(frozen=True, slots=True)
class Rate:
    """So many starts per period, after a burst of as many."""

    count: int
    period: timedelta

    @classmethod
    def parse(cls, text: object) -> "Rate":
        """Read ``"100/m"``: a count, and s, m, h or d."""
        match = PATTERN.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise ValueError(
                f"The rate {text!r} is not understood. Write '10/s', '100/m', '500/h' "
                "or '1000/d'."
            )
        count, unit = match.groups()
        return cls(int(count), timedelta(seconds=UNITS[unit]))
