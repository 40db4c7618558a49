"""Enum members, by the app that defines the enum: ``["shop.Order.Status", "PAID"]``.

The name on the wire is an app label and the enum's name in that app, as models
are named; it survives a move to another module. It is only ever compared with
the names of enums that are loaded already: nothing is imported because of it.
"""

from enum import Enum, Flag
from functools import cache

from django.apps import apps

from errands.arguments.converter import Converter


def _encode_member(member: Enum) -> list[str | int]:
    kind = member.__class__
    name = _name_of(kind)
    if name is None or _enum_called(name) is not kind:
        raise ValueError(
            f"{member!r} belongs to an enum that no installed app defines under a "
            f"name of its own. Pass its value, or register the enum: "
            f"errands.register_converter({kind.__name__}, tag=…, {_both_ways(kind)})."
        )
    return [name, member.value if _has_combinations(kind) else member.name]


def _both_ways(kind: type[Enum]) -> str:
    if _has_combinations(kind):
        return f"encode=lambda flags: flags.value, decode={kind.__name__}"
    return f"encode=lambda member: member.name, decode={kind.__name__}.__getitem__"


def _has_combinations(kind: type[Enum]) -> bool:
    """Return whether it has members without a name, but a value with a meaning."""
    return issubclass(kind, Flag)


def _decode_member(wire: list[str | int]) -> Enum:
    name, member = wire
    kind = _enum_called(str(name))
    return kind[member] if isinstance(member, str) else kind(member)


@cache
def _enum_called(name: str) -> type[Enum]:
    match [kind for kind in _loaded_enums() if _name_of(kind) == name]:
        case [kind]:
            return kind
        case []:
            raise ValueError(f"No installed app here defines an enum {name!r}.")
        case _:
            raise ValueError(
                f"More than one enum is called {name!r}. Rename one of them, or "
                "register it with errands.register_converter."
            )


def _loaded_enums(base: type[Enum] = Enum) -> set[type[Enum]]:
    direct = set(base.__subclasses__())
    return direct.union(*map(_loaded_enums, direct))


def _name_of(kind: type[Enum]) -> str | None:
    app = apps.get_containing_app_config(kind.__module__)
    if app is None or "<locals>" in kind.__qualname__:
        return None
    return f"{app.label}.{kind.__qualname__}"


def parse_member[E: Enum](kind: type[E], text: str) -> E:
    """Return the member a person named, by its name or its value."""
    wanted = text.casefold()
    for member in kind:
        if wanted in (member.name.casefold(), str(member.value).casefold()):
            return member
    raise ValueError(f"{text!r} is none of them.")


def describe_enum(kind: type[Enum]) -> str:
    """Say what a person can type for a member of the enum."""
    return "one of " + ", ".join(member.name for member in kind)


ENUM: Converter[Enum] = Converter(
    type=Enum, tag="enum", encode=_encode_member, decode=_decode_member
)
