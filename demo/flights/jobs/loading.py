"""Filling the database."""

from itertools import batched

from django.db.models import Max
from django.utils.translation import gettext_lazy as _

from errands import Job, Message
from flights import dataset
from flights.models import Airline, Airport, Flight

BATCH = 2_000


class LoadFlights(Job):
    """Load every flight of 2013, and nothing that is there already.

    A batch is one transaction and a flight's key its line in the file, so
    the highest key says where to go on, after a crash too. Two of these at
    once cannot load a flight twice.
    """

    title = _("Loading 336,776 flights")
    result_expires = None

    def perform(self) -> Message:
        """Insert what is missing, in the order of the file."""
        self.status(_("Airlines and airports"))
        Airline.objects.bulk_create(dataset.airlines(), ignore_conflicts=True)
        Airport.objects.bulk_create(dataset.airports(), ignore_conflicts=True)
        loaded = Flight.objects.aggregate(last=Max("line"))["last"] or 0

        self.status(_("Flights"))
        self.progress.total = dataset.TOTAL
        self.progress.advance(loaded)
        for batch in batched(dataset.flights(after=loaded), BATCH, strict=False):
            Flight.objects.bulk_create(batch)
            self.progress.advance(len(batch))
        return Message(_("All flights of 2013 are here."))
