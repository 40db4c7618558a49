"""Serve the demo: ``make demo``, or ``python demo/serve.py``.

    this process   the site and the partner's server, in threads
    one child      manage.py worker, started again whenever it ends

Ctrl-C or SIGTERM stops all of it. The worker ends with the pipe to it, so
that not even SIGKILL leaves one behind. PORT and HOST may be set; without
PORT the site takes 8000, or any free port if that is taken.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Event, Thread

import django
from django.core.management import call_command
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler

from partner_server import PartnerServer

DEMO = Path(__file__).resolve().parent
PORT = 8000
LOOK_EVERY = 0.2
RESTART_AFTER = 1.0
STOPS_WITHIN = 30.0


def main() -> None:
    """Prepare the site, serve it and keep a worker running until told to stop."""
    stopped = stopped_by_signals()
    partner = PartnerServer()
    os.environ["DEMO_PARTNER_URL"] = partner.url
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flightsite.settings")
    django.setup()
    prepare()
    site = site_server()
    for server in (partner, site):
        Thread(target=server.serve_forever, daemon=True).start()
    say(f"\n  The demo is at http://{site.server_address[0]!s}:{site.server_port}/\n")
    say("  Ctrl-C stops it.\n")
    keep_a_worker(stopped)


def prepare() -> None:
    """Migrate, make the demo's users and have the data loaded if it is missing."""
    from flights.accounts import demo_users
    from flights.jobs.loading import load_for

    call_command("migrate", verbosity=0)
    if load_for(demo_users()):
        say("Loading 336,776 flights; the site shows how far it is.")


def site_server() -> ThreadedWSGIServer:
    """Return the server of the site, on the first port that can be had."""
    from django.contrib.staticfiles.handlers import StaticFilesHandler

    from flightsite.wsgi import application

    host = os.environ.get("HOST", "127.0.0.1")
    ports = [int(os.environ["PORT"])] if "PORT" in os.environ else [PORT, 0]
    for port in ports:
        try:
            server = ThreadedWSGIServer((host, port), WSGIRequestHandler)
        except OSError as error:
            say(f"Port {port} cannot be had: {error.strerror}.")
        else:
            server.set_app(StaticFilesHandler(application))
            return server
    sys.exit("Set PORT to a port that is free.")


def keep_a_worker(stopped: Event) -> None:
    """Run a worker; replace it when it ends and when a deploy is asked for."""
    from flights import deploys

    deploys.watch()
    worker = start_worker()
    while not stopped.wait(LOOK_EVERY):
        if deploys.take_request():
            say(f"Deploy: stopping worker {worker.pid} and starting the next.")
            stop(worker)
            worker = start_worker()
        elif worker.poll() is not None:
            say(f"Worker {worker.pid} ended with {worker.returncode}; starting another.")
            time.sleep(RESTART_AFTER)
            worker = start_worker()
    say("Stopping.")
    stop(worker)


def start_worker() -> "subprocess.Popen[bytes]":
    """Start a worker out of reach of the terminal's Ctrl-C."""
    options = ["--processes", "1", "--threads", "4", "--lifeline"]
    return subprocess.Popen(
        [sys.executable, DEMO / "manage.py", "worker", *options],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )


def stop(worker: "subprocess.Popen[bytes]") -> None:
    """Ask a worker to stop, as a deploy would, and see to it that it does."""
    worker.terminate()
    try:
        worker.wait(STOPS_WITHIN)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()


def stopped_by_signals() -> Event:
    """Return what Ctrl-C and SIGTERM set."""
    stopped = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_signal: stopped.set())
    return stopped


def say(line: str) -> None:
    """Print a line at once, into a pipe too."""
    print(line, flush=True)


if __name__ == "__main__":
    main()
