"""``{% job_progress run %}`` on any page of a site."""

import pytest
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.template import Context, RequestContext, Template, TemplateSyntaxError
from django.template.backends.django import DjangoTemplates

from tests.jobs.sample import Scripted


def render(request: HttpRequest, source: str, **context: object) -> str:
    """Render a template of a site."""
    template = Template("{% load errands %}" + source)
    return template.render(RequestContext(request, context))


def test_a_site_embeds_the_progress_of_a_run(click: HttpRequest) -> None:
    run = Scripted.using(title="Orders", status="Soon").start(click)

    html = render(click, '{% job_progress run on_success="download" %}', run=run)

    assert f'src="/jobs/{run.pk}/state.json"' in html
    assert 'on-success="download"' in html
    assert "Soon" in html
    assert " titled" not in html
    assert 'name="csrfmiddlewaretoken"' in html


def test_a_site_without_the_request_context_processor_embeds_it_too(
    click: HttpRequest,
) -> None:
    run = Scripted.start(click)
    options = {"NAME": "bare", "DIRS": [], "APP_DIRS": True, "OPTIONS": {}}
    template = DjangoTemplates(options).from_string(
        "{% load errands %}{% job_progress run %}"
    )

    html = template.render({"run": run}, click)

    assert f'src="/jobs/{run.pk}/state.json"' in html


def test_the_script_carries_the_nonce_of_a_strict_policy(click: HttpRequest) -> None:
    run = Scripted.start(click)

    html = render(click, "{% job_progress run %}", run=run, csp_nonce="abc")

    assert 'nonce="abc"' in html


def test_who_may_not_cancel_gets_no_button(click: HttpRequest, bob: User) -> None:
    run = Scripted.start(click)
    click.user = bob

    assert "/cancel" not in render(click, "{% job_progress run %}", run=run)


@pytest.mark.parametrize("wishes", ["none", "download", "redirect", "download redirect"])
def test_what_happens_at_the_end_is_what_the_template_says(
    wishes: str, click: HttpRequest
) -> None:
    run = Scripted.start(click)

    html = render(
        click, "{% job_progress run on_success=wishes %}", run=run, wishes=wishes
    )

    assert f'on-success="{wishes}"' in html


@pytest.mark.parametrize("wishes", ["both", "download,redirect", None])
def test_an_unknown_word_for_what_happens_at_the_end_is_refused(
    wishes: object, click: HttpRequest
) -> None:
    run = Scripted.start(click)

    with pytest.raises(TemplateSyntaxError) as refusal:
        render(click, "{% job_progress run on_success=wishes %}", run=run, wishes=wishes)

    assert str(refusal.value) == (
        f"on_success is {wishes!r}; it is 'download', 'redirect', 'download redirect' "
        "or 'none'."
    )


@pytest.mark.parametrize(("given", "told"), [({}, "''"), ({"run": None}, "None")])
def test_the_progress_of_what_is_no_run_is_refused(
    given: dict[str, object], told: str, click: HttpRequest
) -> None:
    with pytest.raises(TemplateSyntaxError) as refusal:
        render(click, "{% job_progress run %}", **given)

    assert str(refusal.value) == (
        f"job_progress takes a run, such as Job.start() returns; not {told}."
    )


def test_a_template_without_its_request_is_refused(click: HttpRequest) -> None:
    run = Scripted.start(click)
    template = Template("{% load errands %}{% job_progress run %}")

    with pytest.raises(TemplateSyntaxError) as refusal:
        template.render(Context({"run": run}))

    assert str(refusal.value) == (
        "job_progress needs the request, for which it shows the run. Render the "
        "template with it, as render(request, …) does."
    )
