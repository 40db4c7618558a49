"""The demo's jobs, started by a click and run by a worker."""

import csv
import io
from datetime import date
from threading import Thread

from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db.models import Max, Min
from django.urls import reverse

import partner_server
from errands import Run, TaskInterrupted
from errands.testing import drain
from flights import dataset
from flights.jobs import loading
from flights.jobs.exports import write_flights
from flights.jobs.punctuality import PunctualityCalendar
from flights.models import Aircraft, DayCheck, Flight
from partner_server import PartnerServer


def clicked(browser, name, *args, **data):
    """Post a form, run what it starts, and return the run."""
    response = browser.post(reverse(f"flights:{name}", args=args), data)
    assert response.status_code == 302, response.content
    drain(raise_errors=False)
    return Run.objects.latest("created_at")


def read(response):
    """Return the body of a file's response, and close the file."""
    body = b"".join(response)
    response.close()
    return body


def test_an_export_has_the_bytes_of_a_direct_query(browser, flights):
    run = clicked(browser, "export", "UA")
    answer = browser.get(reverse("errands:result", args=[run.pk, "flights.csv"]))

    direct = io.StringIO(newline="")
    united = Flight.objects.filter(airline="UA").order_by("departs_at", "pk")
    write_flights(direct, united)
    assert read(answer) == direct.getvalue().encode()
    assert united.count() > 100


def test_times_are_new_yorks():
    row = next(row for _, row in dataset.flights())
    file = io.StringIO(newline="")

    write_flights(file, [loading.flight(1, row)])

    assert list(csv.reader(file.getvalue().splitlines()))[1][:5] == [
        "2013-01-01T05:15-05:00",
        "UA 1545",
        "N14228",
        "EWR",
        "IAH",
    ]


def test_a_report_is_a_page_with_figures(browser, flights):
    run = clicked(browser, "report", "UA")
    page = browser.get(reverse("errands:page", args=[run.pk]))

    html = read(page).decode()
    assert "<h1>United Air Lines in 2013</h1>" in html
    assert "csrfmiddlewaretoken" not in html


def test_an_upload_comes_back_as_a_summary(browser):
    file = SimpleUploadedFile("cities.csv", b"city;delay\nBoston;4\n")

    run = clicked(browser, "upload", file=file)

    assert run.results["summary.csv"].text.splitlines()[1:] == [
        "city,text,1,1,Boston,Boston,",
        "delay,number,1,1,4,4,4",
    ]


def test_an_upload_that_is_no_csv_is_explained(browser):
    run = clicked(browser, "upload", file=SimpleUploadedFile("a.csv", b"\x89PNG\0"))

    assert (run.state, run.error_message) == ("failed", "This is not a text file.")


def test_a_bug_is_not_shown(browser, flights):
    run = clicked(browser, "failure", airline="HA", airport="LGA")

    page = browser.get(run.get_absolute_url()).content.decode()
    assert run.state == "failed"
    assert run.error_reference in page
    assert "ZeroDivision" not in page


def test_the_register_is_fetched_and_shared(browser, flights, settings, monkeypatch):
    monkeypatch.setattr(partner_server, "LATENCY", 0)
    monkeypatch.setattr(partner_server, "SLOW_LATENCY", 0)
    monkeypatch.setattr("flights.jobs.register.FIRST_PAUSE", 0)
    grace = User.objects.get(username="grace")
    with PartnerServer() as server:
        settings.DEMO_PARTNER_URL = server.url
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        run = clicked(browser, "partner", key=partner_server.KEY, colleague=grace.pk)
        server.shutdown()

    assert run.state == "succeeded"
    assert Aircraft.objects.filter(run=run).count() == 3_000
    assert len(run.results["aircraft.csv"].text.splitlines()) == 3_001
    assert partner_server.KEY not in run.arguments
    browser.force_login(grace)
    assert browser.get(reverse("flights:planes", args=[run.pk])).status_code == 200
    assert read(browser.get(reverse("errands:page", args=[run.pk])))


def test_a_key_that_cannot_be_checked_is_an_error_on_the_form(browser, settings):
    settings.DEMO_PARTNER_URL = "http://127.0.0.1:9"

    response = browser.post(reverse("flights:partner"), {"key": "any"})

    assert "The key could not be checked: no connection." in response.text
    assert not Run.objects.exists()


def test_the_calendar_goes_on_after_the_last_day_checked(browser, flights, monkeypatch):
    def check(job, day):
        if day == date(2013, 3, 1) and job.run.attempt == 1:
            raise TaskInterrupted
        count(job, day)

    count = PunctualityCalendar.check
    monkeypatch.setattr(PunctualityCalendar, "check", check)
    run = clicked(browser, "start")
    drain()
    run.refresh_from_db()

    checks = DayCheck.objects.filter(run=run)
    assert (run.state, run.attempt) == ("succeeded", 2)
    assert checks.filter(attempt=1).aggregate(Max("day"))["day__max"] == date(2013, 2, 28)
    assert checks.filter(attempt=2).aggregate(Min("day"))["day__min"] == date(2013, 3, 1)
    assert checks.count() == 365


def test_airports_are_called_what_people_call_them():
    names = {airport.code: airport.name for airport in loading.airports()}

    assert names["MVY"] == "Martha's Vineyard"
    assert not [name for name in names.values() if "\\" in name]


def test_loading_goes_on_where_it_stopped_and_then_has_nothing_to_do(
    ada, flights, monkeypatch
):
    there = Flight.objects.count()
    monkeypatch.setattr(dataset, "TOTAL", there + 500)
    rows = dataset.flights
    monkeypatch.setattr(
        dataset,
        "flights",
        lambda after: ((n, row) for n, row in rows(after=after) if n <= dataset.TOTAL),
    )

    run = loading.load_for([ada])
    again = loading.load_for([ada])
    drain()

    assert run is not None
    assert again is None
    assert Flight.objects.count() == there + 500
    assert loading.load_for([ada]) is None
