"""Enums of every kind, at the top of a module of an installed app."""

from enum import Enum, Flag, IntEnum


class Colour(Enum):
    """Has values JSON does not know."""

    RED = (255, 0, 0)
    GREEN = (0, 255, 0)


class Urgency(IntEnum):
    """Is an int as well."""

    LOW = 1
    HIGH = 2


class Access(Flag):
    """Can be combined."""

    READ = 1
    WRITE = 2
