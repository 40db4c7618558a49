"""Which code may run: a lookup by path, never an import.

A row of the queue names its task by a dotted path. The path is looked up among
the tasks this process has loaded; nothing is ever imported because a row said
so. Workers load all that enqueueing processes are expected to name: every
module below ``tasks`` and ``jobs`` of the installed apps, what
``ROOT_URLCONF`` imports, and ``ERRANDS["IMPORTS"]``.
"""

import sys
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pkgutil import walk_packages
from types import ModuleType

from django.apps import apps
from django.conf import settings as django_settings
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.tasks import Task as DjangoTask

from errands.conf import settings

ROOMS = ("tasks", "jobs")

type Provider = Callable[[], DjangoTask]


class Registry:
    """The tasks this process knows, by dotted path."""

    def __init__(self) -> None:
        self._providers: dict[str, Provider] = {}

    def register(self, path: str, provider: Provider) -> None:
        """Make a task known; ``provider`` returns it when it is asked for."""
        self._providers[path] = provider

    def find(self, path: str) -> DjangoTask | None:
        """Return the task of that path, or None if this process has none."""
        provider = self._providers.get(path)
        return provider() if provider else _plain_task(path)

    def is_of_a_job(self, path: str) -> bool:
        """Return whether the task is a job's; False for one that is unknown here."""
        return getattr(self.find(path), "is_cooperative", False)

    def load(self) -> None:
        """Import everything a worker must know."""
        for name in _task_modules():
            import_module(name)
        if getattr(django_settings, "ROOT_URLCONF", None):
            import_module(django_settings.ROOT_URLCONF)


registry = Registry()


@cache
def is_found_by_workers(module_name: str) -> bool:
    """Return whether a worker would import the module.

    What the URLconf imports is judged by what it has imported here.
    """
    rooms = [f"{app.name}.{room}" for app in apps.get_app_configs() for room in ROOMS]
    return (
        any(module_name == room or module_name.startswith(f"{room}.") for room in rooms)
        or module_name in settings().imports
        or module_name in _modules_behind_urlconf()
    )


@receiver(setting_changed)
def _ask_again(*, setting: str, **kwargs: object) -> None:
    """Forget who is found, as soon as a test changes what decides it."""
    if setting in {"ERRANDS", "INSTALLED_APPS", "ROOT_URLCONF"}:
        is_found_by_workers.cache_clear()


def _plain_task(path: str) -> DjangoTask | None:
    """Find a task made by ``django.tasks.task`` in the modules already loaded."""
    module_name, _, name = path.rpartition(".")
    module = sys.modules.get(module_name)
    # Not getattr: a module may have code of its own for names that it has not.
    found = None if module is None else vars(module).get(name)
    return found if isinstance(found, DjangoTask) else None


def _task_modules() -> Iterator[str]:
    for app in apps.get_app_configs():
        for room in ROOMS if app.label != "errands" else ():
            name = f"{app.name}.{room}"
            if find_spec(name) is not None:
                yield name
                yield from _submodules(import_module(name))
    yield from settings().imports


def _submodules(package: ModuleType) -> Iterator[str]:
    paths = getattr(package, "__path__", ())
    for module in walk_packages(paths, prefix=f"{package.__name__}."):
        yield module.name


def _modules_behind_urlconf() -> set[str]:
    root = getattr(django_settings, "ROOT_URLCONF", None)
    reached: set[str] = set()
    waiting = [root] if root in sys.modules else []
    while waiting:
        name = waiting.pop()
        if name in reached or name not in sys.modules:
            continue
        reached.add(name)
        for value in list(vars(sys.modules[name]).values()):
            # Not isinstance: it makes a lazy object look for what it stands for.
            behind = (
                value.__name__
                if issubclass(type(value), ModuleType)
                else getattr(value, "__module__", None)
            )
            if isinstance(behind, str):
                waiting.append(behind)
    return reached
