"""What to do when the database ends a transaction in favour of another.

Locks are taken in an order that makes it rare, but no order covers what a
database locks on its own account (the gaps of InnoDB's unique indexes), nor
the caller's isolation level. The loser has been rolled back, so it is run
again: at once, then after a random pause that grows, for a second in all.

Inside a transaction of the caller's nothing is run again: what the caller did
before has been rolled back as well, and only the caller can repeat it.
"""

import logging
import random
import time
from collections.abc import Callable
from functools import partial, wraps
from typing import Concatenate, Protocol

from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from errands.queue.committing.transactions import is_in_one
from errands.queue.statements import statements_for

logger = logging.getLogger("errands.queue")

LONGEST_PAUSES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.3)


class HasAlias(Protocol):
    """What knows the alias of its database."""

    @property
    def alias(self) -> str:
        """The database's alias."""
        ...


def again_after_collisions[T](connection: BaseDatabaseWrapper, act: Callable[[], T]) -> T:
    """Run a whole transaction; if it collided with another, run it again."""
    for longest in LONGEST_PAUSES:
        try:
            return act()
        except DatabaseError as error:
            has_collided = statements_for(connection).has_collided(error)
            if not has_collided or is_in_one(connection):
                raise
            logger.debug("a transaction collided and is run again", exc_info=True)
            time.sleep(random.uniform(0, longest))  # noqa: S311
    return act()


def runs_again[S: str | HasAlias, **P, T](
    act: Callable[Concatenate[S, P], T],
) -> Callable[Concatenate[S, P], T]:
    """Make a function that is one transaction run again after collisions.

    Its first argument is the alias of the database, or has it.
    """

    @wraps(act)
    def carried_through(at: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        alias = at if isinstance(at, str) else at.alias
        again = partial(act, at, *args, **kwargs)
        return again_after_collisions(connections[alias], again)

    return carried_through
