"""The pytest plugin, in a run of pytest of its own."""

import pytest

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.integration

SITE = """
    import pytest
    from django.conf import settings

    def pytest_configure():
        settings.configure(
            DATABASES={"default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": ":memory:",
                "OPTIONS": {"transaction_mode": "IMMEDIATE"},
            }},
            INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes",
                            "errands"],
            TASKS={"default": {"BACKEND": "errands.queue.DatabaseBackend"}},
            ERRANDS={"IMPORTS": ["shop_tasks"]},
            USE_TZ=True,
        )
"""

KEPT = ["shop.sqlite3", "shop.sqlite3.errands"]

TASKS = """
    from errands import task

    @task
    def pack(order: int) -> int:
        if order < 0:
            raise ValueError("no such order")
        return order
"""


@pytest.fixture
def shop(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Return a site with one task and no tests yet."""
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE")
    pytester.makeconftest(SITE)
    pytester.makepyfile(shop_tasks=TASKS)
    pytester.makeini("[pytest]\naddopts = -p no:asyncio\npythonpath = .")
    return pytester


def run(shop: pytest.Pytester, *options: str) -> pytest.RunResult:
    """Run pytest in a process; it finds the plugin because errands is installed."""
    return shop.runpytest_subprocess("--no-migrations", *options)


def test_the_fixture_gives_the_functions(shop: pytest.Pytester) -> None:
    shop.makepyfile(
        test_shop="""
        from datetime import timedelta
        from shop_tasks import pack

        def test_packing(db, errands):
            pack.using(run_after=timedelta(days=1)).enqueue(7)
            errands.assert_enqueued(pack, args=[7], run_after=timedelta(days=1))
            assert errands.drain() == errands.Drained()
            with errands.travel_to(timedelta(days=2)):
                assert errands.drain() == errands.Drained(succeeded=1)
            with errands.inline():
                assert pack.enqueue(8).return_value == 8
            errands.assert_not_enqueued()
        """
    )

    run(shop).assert_outcomes(passed=1)


def test_a_marked_test_runs_its_tasks_inline(shop: pytest.Pytester) -> None:
    shop.makepyfile(
        test_shop="""
        import pytest
        from shop_tasks import pack

        pytestmark = pytest.mark.django_db

        @pytest.mark.errands_inline
        def test_marked():
            assert pack.enqueue(7).return_value == 7

        @pytest.mark.errands_inline
        def test_marked_raises():
            with pytest.raises(ValueError):
                pack.using(max_attempts=1).enqueue(-7)

        @pytest.mark.errands_inline(raise_errors=False)
        def test_marked_keeps():
            assert len(pack.using(max_attempts=2).enqueue(-7).errors) == 2

        def test_unmarked():
            assert not pack.enqueue(7).is_finished
        """
    )

    run(shop, "--strict-markers").assert_outcomes(passed=4)


def test_a_marker_with_an_argument_without_a_name_is_refused(
    shop: pytest.Pytester,
) -> None:
    shop.makepyfile(
        test_shop="""
        import pytest
        from shop_tasks import pack

        @pytest.mark.errands_inline(False)
        def test_marked(db):
            pack.enqueue(7)
        """
    )

    result = run(shop)

    result.assert_outcomes(errors=1)
    assert (
        "@pytest.mark.errands_inline(False) has arguments without a name, which it does "
        "not take. Write @pytest.mark.errands_inline(raise_errors=…)."
    ) in result.stdout.lines


def test_the_message_points_at_the_test(shop: pytest.Pytester) -> None:
    shop.makepyfile(
        test_shop="""
        from shop_tasks import pack

        def test_nothing_waits(db, errands):
            errands.assert_enqueued(pack)
        """
    )

    result = run(shop)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            ">*errands.assert_enqueued(pack)",
            "E*AssertionError: No shop_tasks.pack() waits.",
            "E *no task waits.",
            "test_shop.py:4: AssertionError",
        ]
    )


@pytest.mark.parametrize(("option", "left"), [("--create-db", []), ("--reuse-db", KEPT)])
def test_nothing_is_left_beside_a_test_database_that_is_gone(
    shop: pytest.Pytester, option: str, left: list[str]
) -> None:
    in_a_file = SITE.replace('":memory:"', '":memory:", "TEST": {"NAME": "shop.sqlite3"}')
    shop.makeconftest(in_a_file)
    shop.makepyfile(
        test_shop="""
        from errands.sidecar import sidecar

        def test_heartbeats(transactional_db):
            assert sidecar().execute("SELECT count(*) FROM errands_worker") == [(0,)]
        """
    )

    run(shop, option).assert_outcomes(passed=1)

    assert sorted(path.name for path in shop.path.glob("shop.sqlite3*")) == left


def test_sites_without_django_are_left_alone(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_plain="def test_plain():\n    pass")

    result = pytester.runpytest_subprocess("-p", "no:django", "-p", "no:asyncio")

    result.assert_outcomes(passed=1)
