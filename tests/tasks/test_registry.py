"""A path from a row is looked up, never imported."""

import sys
from types import ModuleType

from django.test import override_settings
from django.utils.functional import SimpleLazyObject

from errands.tasks.registry import is_found_by_workers, registry
from tests.testapp import tasks


def test_finds_our_tasks_and_djangos_by_path():
    assert registry.find("tests.testapp.tasks.add") is tasks.add
    assert registry.find("tests.testapp.tasks.plain") is tasks.plain


def test_finds_djangos_task_whatever_name_its_module_has_for_it():
    path = tasks.under_another_name.module_path

    assert path == "tests.testapp.tasks._echo"
    assert registry.find(path) is tasks.under_another_name


def test_never_imports_a_path():
    sys.modules.pop("this", None)

    assert registry.find("this.c") is None
    assert registry.find("os.system") is None
    assert registry.find("") is None
    assert registry.find("tests.testapp.tasks.never_registered") is None
    assert "this" not in sys.modules


def test_loading_imports_the_tasks_of_every_app():
    registry.load()

    assert "tests.testapp.tasks" in sys.modules


def test_knows_which_modules_a_worker_imports():
    is_found_by_workers.cache_clear()

    assert is_found_by_workers("tests.testapp.tasks")
    assert is_found_by_workers("tests.testapp.jobs.deep.below")
    assert not is_found_by_workers("tests.tasks.test_registry")
    assert not is_found_by_workers("__main__")


def test_to_look_behind_the_urls_wakes_no_lazy_object(monkeypatch, settings):
    def wake() -> None:
        raise LookupError("No installed app with label 'admin'.")

    urls = ModuleType("lazy_urls")
    urls.site = SimpleLazyObject(wake)
    urls.shop = ModuleType("shop_behind_lazy_urls")
    monkeypatch.setitem(sys.modules, "lazy_urls", urls)
    monkeypatch.setitem(sys.modules, "shop_behind_lazy_urls", urls.shop)
    settings.ROOT_URLCONF = "lazy_urls"

    assert is_found_by_workers("shop_behind_lazy_urls")


@override_settings(ERRANDS={"IMPORTS": ["tests.elsewhere"]})
def test_modules_named_in_imports_are_found():
    is_found_by_workers.cache_clear()

    try:
        assert is_found_by_workers("tests.elsewhere")
    finally:
        is_found_by_workers.cache_clear()


def test_to_look_for_a_task_runs_no_code_of_its_module(monkeypatch):
    module = ModuleType("lazy_shop")

    def load(name):
        raise ImportError(name)

    module.__getattr__ = load
    monkeypatch.setitem(sys.modules, "lazy_shop", module)

    assert registry.find("lazy_shop.pay") is None
