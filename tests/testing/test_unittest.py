"""The same with ``unittest``: written for Django's runner, run by any."""

import threading
import unittest
from datetime import timedelta

from django.contrib.auth.models import User
from django.test import (
    SimpleTestCase,
    TestCase,
    TransactionTestCase,
    override_settings,
)
from django.urls import reverse

from errands import Run
from errands.queue.models import TaskRow
from errands.testing import Drained, TaskTestMixin, assert_not_enqueued, drain
from tests.testapp.models import Account
from tests.testing import sample

with_sample = override_settings(ERRANDS={"IMPORTS": ["tests.testing.sample"]})


@with_sample
class InATransactionTests(TaskTestMixin, TestCase):
    """Nothing ever commits here."""

    @classmethod
    def setUpTestData(cls) -> None:
        """Enqueue a task for each test of the class."""
        cls.account = Account.objects.create(name="Ann")
        sample.greet.enqueue(cls.account)

    def test_what_was_enqueued_for_the_class_runs(self) -> None:
        self.assert_enqueued(sample.greet, args=[self.account], count=1)

        drained = self.drain()

        self.assertEqual(drained.results[0].return_value, "hello Ann")
        self.assert_not_enqueued()

    def test_and_runs_again_in_the_next_test(self) -> None:
        self.assertEqual(drain(), Drained(succeeded=1))

    def test_captured_hooks_enqueue(self) -> None:
        with self.captureOnCommitCallbacks(execute=True):
            sample.note.enqueue_on_commit("committed")

        self.drain()

        self.assertEqual(sample.heard, ["committed"])

    def test_what_tasks_leave_to_on_commit_runs_inside_a_capture_too(self) -> None:
        with self.captureOnCommitCallbacks() as hooks:
            sample.write_and_tell.enqueue("once")
            self.drain()

        self.assertEqual(sample.heard, ["once"])
        self.assertTrue(hooks)

    def test_inline_and_time_travel_are_methods(self) -> None:
        with self.inline():
            sample.note.enqueue("inline")
        sample.note.using(run_after=sample.LATER).enqueue("later")
        with self.travel_to(timedelta(hours=2)):
            self.drain()

        self.assertEqual(sample.heard, ["inline", "later"])

    def test_everything_happens_in_this_thread(self) -> None:
        before = threading.active_count()
        sample.note.enqueue("x")

        self.drain()

        self.assertEqual(threading.active_count(), before)


@with_sample
class InAutocommitTests(TaskTestMixin, TransactionTestCase):
    """Everything is committed, and deleted afterwards."""

    def test_tasks_run(self) -> None:
        sample.enqueue_note_on_commit.enqueue("committed")

        self.assertEqual(self.drain(), Drained(succeeded=2))
        self.assertEqual(sample.heard, ["committed"])

    def test_nothing_is_left_of_the_other_tests(self) -> None:
        self.assertFalse(TaskRow.objects.exists())
        self.assertEqual(self.drain(), Drained())

    def test_a_rate_is_fresh(self) -> None:
        sample.call_partner.enqueue(1)
        sample.call_partner.enqueue(2)

        self.assertEqual(self.drain(), Drained(succeeded=2))

    def test_a_rate_is_fresh_again(self) -> None:
        self.test_a_rate_is_fresh()


@with_sample
class AClickTests(TaskTestMixin, TestCase):
    """From the click that starts a job to the file it makes."""

    def setUp(self) -> None:
        """Sign in."""
        self.user = User.objects.create_user("ann")
        self.client.force_login(self.user)

    def test_the_page_and_the_download_are_there_after_a_drain(self) -> None:
        run = sample.Listing.using(owner=self.user).enqueue("Ann", times=3)
        self.assert_enqueued(sample.Listing, kwargs={"name": "Ann"})

        waiting = self.client.get(run.get_absolute_url())
        self.drain()
        page = self.client.get(run.get_absolute_url())
        file = self.client.get(reverse("errands:result", args=[run.pk, "names.txt"]))

        self.assertContains(waiting, "Listing")
        self.assertContains(page, "names.txt")
        self.assertEqual(b"".join(file), b"Ann\nAnn\nAnn\n")
        file.close()

    def test_a_job_that_fails_raises_in_the_test(self) -> None:
        run = sample.Listing.using(owner=self.user).enqueue("Ann", times="many")

        with self.assertRaises(TypeError):
            self.drain()
        run.refresh_from_db()

        self.assertEqual(run.state, "failed")

    def test_a_job_can_run_inline(self) -> None:
        with self.inline():
            run = sample.Listing.using(owner=self.user).enqueue("Ann")

        self.assertEqual(Run.objects.get(pk=run.pk).state, "succeeded")


class WithoutADatabaseTests(SimpleTestCase):
    """The functions need no mixin, and a database only where they use one."""

    def test_a_mistake_is_told_without_a_database(self) -> None:
        with self.assertRaisesMessage(TypeError, "Without a task it takes none."):
            assert_not_enqueued(None, args=[1])


if __name__ == "__main__":
    unittest.main()
