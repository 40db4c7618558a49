"""Which queues a worker takes from, as ``--queues`` says it.

::

    mail,default,*          in this order; * is every queue
    mail*                   every queue whose name begins so
    mail:2,default:8,*      pools: at most so many at once, with threads of
                            their own; * then leaves those queues out
"""

from dataclasses import dataclass
from functools import lru_cache

from errands.queue.limits import NAME_LIMIT
from errands.text import clean_line

EVERY_QUEUE = "*"
LOWEST_RANK, HIGHEST_RANK = -32_768, 32_767
REMEDY = "Use 'mail,default', 'mail*', 'mail:2,default:8,*' or '*'."


@dataclass(frozen=True, slots=True)
class Term:
    """A queue's name or the beginning of one, and how many of it run at once."""

    name: str
    is_prefix: bool = False
    limit: int | None = None

    @classmethod
    @lru_cache
    def parse(cls, word: str) -> "Term":
        """Read ``mail``, ``mail*``, ``*`` or one of them with ``:2``."""
        pattern, colon, limit = (part.strip() for part in word.partition(":"))
        is_prefix = pattern.endswith(EVERY_QUEUE)
        name = pattern.removesuffix(EVERY_QUEUE)
        if EVERY_QUEUE in name:
            raise ValueError(f"{word!r} has a '*' that is not at the end. {REMEDY}")
        if not pattern:
            raise ValueError(f"{word!r} names no queue. {REMEDY}")
        if name != clean_line(name, NAME_LIMIT):
            raise ValueError(
                f"{word!r} is no queue: a name is one line of up to {NAME_LIMIT} "
                f"characters. {REMEDY}"
            )
        if not colon:
            return cls(name, is_prefix)
        if not limit.isdecimal() or int(limit) < 1:
            raise ValueError(
                f"{word!r} gives {limit!r} tasks at once; it takes 1 or more. {REMEDY}"
            )
        return cls(name, is_prefix, int(limit))

    @property
    def pattern(self) -> str:
        """The term without its limit."""
        return f"{self.name}{EVERY_QUEUE}" if self.is_prefix else self.name

    def is_for(self, queue: str) -> bool:
        """Return whether the queue is meant."""
        return queue.startswith(self.name) if self.is_prefix else queue == self.name


@dataclass(frozen=True, slots=True)
class Selection:
    """What a worker takes: queues in strict order, and a range of priorities."""

    queues: tuple[str, ...] = (EVERY_QUEUE,)
    min_priority: int | None = None
    max_priority: int | None = None

    @classmethod
    @lru_cache
    def parse(
        cls,
        queues: str = EVERY_QUEUE,
        *,
        min_priority: int | None = None,
        max_priority: int | None = None,
    ) -> "Selection":
        """Read ``"mail,default,*"``; what stands first is emptied first."""
        words = tuple(word.strip() for word in queues.split(",") if word.strip())
        if not words:
            raise ValueError(f"{queues!r} names no queue. {REMEDY}")
        seen: set[str] = set()
        for term in map(Term.parse, words):
            if term.pattern in seen:
                raise ValueError(f"{queues!r} names {term.pattern!r} twice.")
            seen.add(term.pattern)
        bounds = (min_priority, max_priority)
        if None not in bounds and min_priority > max_priority:  # type: ignore[operator]
            raise ValueError(f"No priority is between {min_priority} and {max_priority}.")
        return cls(words, min_priority, max_priority)

    @property
    def terms(self) -> tuple[Term, ...]:
        """The queues as they were named."""
        return tuple(map(Term.parse, self.queues))

    @property
    def is_every_queue(self) -> bool:
        """Whether no queue is left out."""
        return any(term.pattern == EVERY_QUEUE for term in self.terms)

    @property
    def ranks(self) -> tuple[int, int]:
        """The first and the last rank wanted; a rank is a priority negated."""
        return (
            LOWEST_RANK if self.max_priority is None else -self.max_priority,
            HIGHEST_RANK if self.min_priority is None else -self.min_priority,
        )

    @property
    def has_pools(self) -> bool:
        """Whether any queue has a limit of its own."""
        return any(term.limit for term in self.terms)

    def threads(self, shared: int) -> int:
        """Return how many threads pools need, with ``shared`` for all the rest."""
        limits = [term.limit for term in self.terms]
        return sum(filter(None, limits)) + (shared if None in limits else 0)

    def owner_of(self, queue: str) -> Term | None:
        """Return the term a queue belongs to: its name, a prefix, else ``*``."""
        ranked = sorted(self.terms, key=lambda term: (term.is_prefix, -len(term.name)))
        return next((term for term in ranked if term.is_for(queue)), None)
