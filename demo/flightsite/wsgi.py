"""The WSGI application of the demo site."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flightsite.settings")

application = get_wsgi_application()
