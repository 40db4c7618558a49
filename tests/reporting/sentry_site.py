"""A site with Sentry: run one task that fails, print what was sent."""

import json
import sys

import django
import sentry_sdk
from django.conf import settings
from django.core.management import call_command
from sentry_sdk.envelope import Envelope
from sentry_sdk.integrations.django import DjangoIntegration
from sentry_sdk.transport import Transport

events: list[dict[str, object]] = []


class Collect(Transport):
    """Keeps events instead of sending them."""

    def capture_envelope(self, envelope: Envelope) -> None:
        """Keep an event."""
        if event := envelope.get_event():
            events.append(dict(event))


def main() -> None:
    """Fail once under Sentry's eyes."""
    sentry_sdk.init(
        dsn="http://key@localhost/1",
        transport=Collect,
        integrations=[DjangoIntegration()],
    )
    django.setup()
    settings.DIRECTORY.mkdir(exist_ok=True)
    call_command("migrate", verbosity=0)
    from errands.testing import drain
    from tests.testapp import tasks

    tasks.fail_once.enqueue("out of luck")
    drain(raise_errors=False)
    sys.stdout.write(json.dumps(events, default=str))


if __name__ == "__main__":
    main()
