"""What a coroutine has started, and left running when it returned."""

import asyncio
from collections.abc import Iterable
from typing import Any

LEFTOVER_SECONDS = 1.0


async def end(started: Iterable["asyncio.Task[Any]"]) -> None:
    """Cancel asyncio tasks that still run, and give them a second to end.

    Nobody waits for one that refuses: it is no task any more that the end of a
    loop would wait for.
    """
    left = {task for task in started if not task.done()}
    for task in left:
        task.cancel()
    if left:
        _, stubborn = await asyncio.wait(left, timeout=LEFTOVER_SECONDS)
        for task in stubborn:
            asyncio._unregister_task(task)
