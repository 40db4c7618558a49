"""The demo's modules, importable as they are when it runs.

``site`` holds the tests that need the demo's own settings and tables;
``test_site.py`` runs them in a process of their own.
"""

import sys
from pathlib import Path

DEMO = Path(__file__).parents[2] / "demo"
SITE_SETTINGS = "flightsite.settings"

if str(DEMO) not in sys.path:
    sys.path.insert(0, str(DEMO))

collect_ignore = ["site"]
