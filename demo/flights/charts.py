"""Bars, calendars and a map as numbers that a template puts into SVG."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from flights.models import Airport

BAR_STEP = 60
BAR_WIDTH = 40
CHART_HEIGHT = 110

CELL_STEP = 13
LEVELS = (0.5, 0.65, 0.75, 0.85)

WEIGHTS = (1_000, 4_000, 8_000)
# Enough to recognise the country by, few enough not to overlap.
LABELLED = {"ATL", "DEN", "DFW", "LAX", "MIA", "ORD", "SEA", "SFO", "SJU"}


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar that stands on the bottom of a chart."""

    label: str
    shown: str
    x: int
    y: float
    height: float
    is_peak: bool

    @property
    def center(self) -> float:
        """Where a text above or below it is anchored."""
        return self.x + BAR_WIDTH / 2


def bars(values: Sequence[tuple[str, float]], *, unit: str = "") -> list[Bar]:
    """Return a bar per value; the greatest has the height of the chart."""
    greatest = max((value for _, value in values), default=0) or 1
    made = []
    for position, (label, value) in enumerate(values):
        height = round(CHART_HEIGHT * value / greatest, 1)
        made.append(
            Bar(
                label=label,
                shown=f"{value:,.0f}{unit}",
                x=position * BAR_STEP + (BAR_STEP - BAR_WIDTH) // 2,
                y=round(CHART_HEIGHT - height, 1),
                height=height,
                is_peak=value == greatest,
            )
        )
    return made


@dataclass(frozen=True, slots=True)
class Cell:
    """A day in a calendar: a column per week, a row per weekday."""

    x: int
    y: int
    level: int
    title: str


def calendar(days: Iterable[tuple[date, float, str]]) -> list[Cell]:
    """Return a cell per day; its level, 0 to 4, follows from its share."""
    cells = []
    for day, share, title in days:
        first_weekday = date(day.year, 1, 1).weekday()
        week = (day.timetuple().tm_yday - 1 + first_weekday) // 7
        level = sum(share >= least for least in LEVELS)
        cells.append(Cell(week * CELL_STEP, day.weekday() * CELL_STEP, level, title))
    return cells


@dataclass(frozen=True, slots=True)
class Arc:
    """A route on the map; its weight, 1 to 4, follows from its flights."""

    path: str
    x: float
    y: float
    weight: int
    title: str
    label: str


def arcs(center: Airport, destinations: Iterable[tuple[Airport, int]]) -> list[Arc]:
    """Return an arc from the center to each destination."""
    x0, y0 = projected(center)
    made = []
    for airport, flights in destinations:
        x, y = projected(airport)
        lift = 0.16 * math.dist((x0, y0), (x, y))
        bend = f"{(x0 + x) / 2:.1f} {(y0 + y) / 2 - lift:.1f}"
        path = f"M{x0:.1f} {y0:.1f}Q{bend} {x:.1f} {y:.1f}"
        weight = 1 + sum(flights >= least for least in WEIGHTS)
        title = f"{airport.name}: {flights:,} flights"
        label = airport.code if airport.code in LABELLED else ""
        made.append(Arc(path, round(x, 1), round(y, 1), weight, title, label))
    return made


def projected(airport: Airport) -> tuple[float, float]:
    """Return where an airport is on the map: Albers' projection of the USA.

    The standard parallels are 29.5° and 45.5°, the center 37.5° N 96° W.
    """
    n, c, rho0 = _ALBERS
    latitude, longitude = math.radians(airport.latitude), airport.longitude
    rho = math.sqrt(c - 2 * n * math.sin(latitude)) / n
    theta = n * math.radians(longitude + 96)
    east, north = rho * math.sin(theta), rho0 - rho * math.cos(theta)
    return 520 + 620 * east, 230 - 620 * north


def _albers_of_the_usa() -> tuple[float, float, float]:
    first, second = math.radians(29.5), math.radians(45.5)
    n = (math.sin(first) + math.sin(second)) / 2
    c = math.cos(first) ** 2 + 2 * n * math.sin(first)
    return n, c, math.sqrt(c - 2 * n * math.sin(math.radians(37.5))) / n


_ALBERS = _albers_of_the_usa()
