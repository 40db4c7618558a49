"""Exception groups, as an ``asyncio.TaskGroup`` raises them, count as what is in them."""


def members(exception: BaseException) -> list[BaseException]:
    """Return what a group holds at any depth; of any other exception, itself."""
    found, waiting = list[BaseException](), [exception]
    while waiting:
        each = waiting.pop()
        if isinstance(each, BaseExceptionGroup):
            waiting += reversed(each.exceptions)
        else:
            found.append(each)
    return found


def is_one_of(
    exception: BaseException,
    kinds: type[BaseException] | tuple[type[BaseException], ...],
) -> bool:
    """Return whether it is of these kinds, or a group of nothing else."""
    if isinstance(exception, kinds):
        return True
    if not isinstance(exception, BaseExceptionGroup):
        return False
    return all(isinstance(each, kinds) for each in members(exception))
