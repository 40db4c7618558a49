"""The site under test for real servers, with a worker inside.

ERRANDS_TEST_GRACE sets the worker's grace, ERRANDS_TEST_NAME how it is called.
"""

import os

from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application

from errands import with_worker

GRACE = float(os.environ.get("ERRANDS_TEST_GRACE", "25"))
NAME = os.environ["ERRANDS_TEST_NAME"]

asgi = with_worker(get_asgi_application(), threads=2, grace=GRACE, name=NAME)
wsgi = with_worker(get_wsgi_application(), threads=2, grace=GRACE, name=NAME)
