"""The same for ``unittest``: a mixin for Django's test cases."""

from errands.sidecar import close_sidecars
from errands.testing.assertions import assert_enqueued, assert_not_enqueued
from errands.testing.draining import drain
from errands.testing.inlining import inline
from errands.testing.travelling import travel_to


class TaskTestMixin:
    """Gives a ``TestCase`` or ``TransactionTestCase`` the functions as methods.

    They are the functions of ``errands.testing``, under their own names.
    """

    drain = staticmethod(drain)
    inline = staticmethod(inline)
    travel_to = staticmethod(travel_to)
    assert_enqueued = staticmethod(assert_enqueued)
    assert_not_enqueued = staticmethod(assert_not_enqueued)

    @classmethod
    def setUpClass(cls) -> None:
        """Let nothing of ours stay connected to the test database."""
        super().setUpClass()  # type: ignore[misc]
        cls.addClassCleanup(close_sidecars)  # type: ignore[attr-defined]
