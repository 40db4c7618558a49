"""Everything errands raises.

ErrandsError
├── ArgumentError          a value cannot be carried to a worker; raised at the call
├── SignatureMismatch      the call does not fit the function; raised at the call
├── DecodeError            a stored value cannot be read here
│   ├── UnknownTag         no converter in this process knows the value's tag
│   └── RecordGone         the record an argument refers to no longer exists
├── UnknownTask            no task of that path is registered in this process
├── LeaseLost              somebody else owns the attempt now; nothing was written
├── ReturnValueError       what a task returned cannot be stored
├── ResultError            a job's result cannot be written or read
├── TaskTimeout            the attempt took longer than its timeout
├── TaskCrashed            the process that ran the task died
│   └── WorkerLost         nobody can say of what: its whole host may be gone
└── JobError               a job ends with a text that is safe to show its owner

Interruption               not an ``Exception``: ``except Exception`` lets it pass
├── TaskInterrupted        the worker is stopping; the attempt costs nothing
└── TaskCancelled          somebody cancelled the task
"""


class ErrandsError(Exception):
    """Base class of the errors errands raises."""


class ArgumentError(ErrandsError, TypeError, ValueError):
    """A value cannot be carried to a worker.

    Raised at the call, before anything is stored. The message names the
    argument, the value and what to do instead.
    """


class SignatureMismatch(ErrandsError, TypeError):
    """The call does not fit the function's signature."""


class DecodeError(ErrandsError):
    """A stored value cannot be read in this process."""


class UnknownTag(DecodeError):
    """No converter in this process knows the value's tag.

    It may be known to newer code, so the attempt is retried, not discarded.
    """


class RecordGone(DecodeError):
    """The record an argument refers to no longer exists."""


class UnknownTask(ErrandsError):
    """No task of that path is registered in this process."""


class LeaseLost(ErrandsError):
    """Somebody else owns the attempt now; nothing was written."""


class ReturnValueError(ErrandsError):
    """What a task returned cannot be stored.

    The work is done, so the attempt is the last one: another would do it again.
    """


class ResultError(ErrandsError):
    """A job's result cannot be written or read."""


class TaskTimeout(ErrandsError):
    """The attempt took longer than its ``timeout``; it may be tried again."""

    def __str__(self) -> str:
        """Return what was said, or what there is to say."""
        return super().__str__() or "The attempt took longer than its timeout."


class TaskCrashed(ErrandsError):
    """The process that ran the task died."""


class WorkerLost(TaskCrashed):
    """The worker of the task was lost; nothing says that the task did it."""


class JobError(ErrandsError):
    """End a job with a text that is safe to show its owner."""


class Interruption(BaseException):
    """Base class of what ends an attempt from outside.

    Not an ``Exception``, so that a task's ``except Exception`` lets it pass.
    """


class TaskInterrupted(Interruption):
    """The worker is stopping; the attempt is released and costs nothing."""


class TaskCancelled(Interruption):
    """Somebody cancelled the task."""

    def __str__(self) -> str:
        """Return what was said, or what there is to say."""
        return super().__str__() or "Cancelled while it was running."
