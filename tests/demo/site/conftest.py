"""A signed-in visitor, and a few days of flights."""

from itertools import islice

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from flights import dataset
from flights.accounts import demo_users
from flights.jobs.loading import airlines, airports, flight
from flights.models import Airline, Airport, Flight

FEW = 2_000


@pytest.fixture
def ada(transactional_db: None, settings: Settings) -> User:
    """Return one of the demo's users; the other is Grace."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    return demo_users()[0]


@pytest.fixture
def browser(client: Client, ada: User) -> Client:
    """Return a client signed in as Ada."""
    client.force_login(ada)
    return client


@pytest.fixture
def flights(transactional_db: None) -> None:
    """Load the first flights of the year."""
    Airline.objects.bulk_create(airlines())
    Airport.objects.bulk_create(airports())
    Flight.objects.bulk_create(
        flight(line, row) for line, row in islice(dataset.flights(), FEW)
    )
