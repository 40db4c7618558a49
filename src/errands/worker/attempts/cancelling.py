"""Who may cancel the asyncio task of an attempt: its own code, and the worker.

A coroutine that cancels all there are on its loop, as recipes for shutting down do,
would else end its neighbours. What these have started themselves is an asyncio task
like any other.
"""

import asyncio
from typing import Any

from errands.tasks.context import current_context


class AttemptTask(asyncio.Task[Any]):
    """An asyncio task that the code of another attempt does not cancel."""

    def cancel(self, msg: Any = None) -> bool:
        """Cancel it; False where another attempt asks for that."""
        asking = current_context()
        # A copy, for one that cancels itself is in its context already.
        own = self.get_context().copy().run(current_context)
        if asking is not None and asking is not own:
            return False
        return super().cancel(msg)
