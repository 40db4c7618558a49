"""What the demo knows: flights, and what its jobs found out."""

from django.conf import settings
from django.db import models
from django.db.models import Count, F

ON_TIME = 15
"""Minutes of delay from which a flight counts as late, as the FAA counts."""


class Airline(models.Model):
    """A carrier, by its two-letter code."""

    code = models.CharField(primary_key=True, max_length=2)
    name = models.CharField(max_length=100)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Airport(models.Model):
    """An airport, by its three-letter code."""

    code = models.CharField(primary_key=True, max_length=3)
    name = models.CharField(max_length=100)
    latitude = models.FloatField()
    longitude = models.FloatField()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class FlightQuerySet(models.QuerySet["Flight"]):
    """What flights can be asked for."""

    def by_route(self) -> "models.QuerySet[Flight, dict[str, str | int]]":
        """Return one row per route, the busiest first."""
        return (
            self.values(
                "origin_id", "destination_id", destination_name=F("destination__name")
            )
            .annotate(flights=Count("pk"))
            .order_by("-flights", "origin_id", "destination_id")
        )


class Flight(models.Model):
    """A flight from one of New York City's three airports.

    Its key is its line in the data file, so that loading can go on where it
    stopped. Delays are minutes; a flight that never left has none.
    """

    line = models.PositiveIntegerField(primary_key=True)
    airline = models.ForeignKey(Airline, on_delete=models.PROTECT, db_index=False)
    number = models.PositiveSmallIntegerField()
    tail_number = models.CharField(max_length=6, blank=True)
    origin = models.ForeignKey(
        Airport, on_delete=models.PROTECT, related_name="departures", db_index=False
    )
    destination = models.ForeignKey(
        Airport, on_delete=models.PROTECT, related_name="arrivals", db_index=False
    )
    day = models.DateField()
    month = models.PositiveSmallIntegerField()
    departs_at = models.DateTimeField()
    departure_delay = models.SmallIntegerField(null=True)
    arrival_delay = models.SmallIntegerField(null=True)
    air_time = models.PositiveSmallIntegerField(null=True)
    distance = models.PositiveSmallIntegerField()

    objects = FlightQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["airline", "departs_at"], name="flight_airline"),
            models.Index(fields=["day"], name="flight_day"),
            models.Index(fields=["tail_number"], name="flight_tail_number"),
        ]

    def __str__(self) -> str:
        return f"{self.airline_id} {self.number}, {self.day}"


class Upload(models.Model):
    """A file a visitor gave to a job; kept for a day."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    file = models.FileField(upload_to="uploads/%Y-%m-%d/")
    name = models.CharField(max_length=255)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    def __str__(self) -> str:
        return self.name


class DayCheck(models.Model):
    """How punctual a day was, as one attempt of a run found out."""

    run = models.ForeignKey("errands.Run", on_delete=models.CASCADE, related_name="+")
    day = models.DateField()
    flights = models.PositiveIntegerField()
    on_time = models.PositiveIntegerField()
    attempt = models.PositiveIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "day"], name="daycheck_once_per_day")
        ]

    def __str__(self) -> str:
        return f"{self.day}: {self.on_time} of {self.flights} on time"


class Aircraft(models.Model):
    """A plane, as the partner's register described it to one run."""

    run = models.ForeignKey("errands.Run", on_delete=models.CASCADE, related_name="+")
    tail_number = models.CharField(max_length=6)
    year = models.PositiveSmallIntegerField(null=True)
    manufacturer = models.CharField(max_length=100)
    model = models.CharField(max_length=100)
    engines = models.PositiveSmallIntegerField()
    seats = models.PositiveSmallIntegerField()

    class Meta:
        verbose_name_plural = "aircraft"
        constraints = [
            models.UniqueConstraint(
                fields=["run", "tail_number"], name="aircraft_once_per_run"
            )
        ]

    def __str__(self) -> str:
        return self.tail_number
