"""Serves a worker's Prometheus metrics at a separate address (WORKER_METRICS): ``/metrics``, and
``/healthz`` for the process supervisor.

There is no authentication. The metrics contain figures and the names of API configs: restrict access to
the monitoring system.
"""

import logging
from collections.abc import Callable

from gevent.pywsgi import WSGIServer
from werkzeug.wrappers import Request, Response

from ..core import loop_lag
from ..core.errors import SettingsError
from ..runner.stats import RunnerStats
from ..services import metrics

log = logging.getLogger(__name__)


def serve(address: str, figures: Callable[[], RunnerStats]) -> WSGIServer:
    """Start the server at ``host:port``. Raises SettingsError if the address cannot be bound."""
    host, _, port = address.rpartition(":")
    app = Request.application(lambda request: _answer(request, figures))
    server = WSGIServer((host.strip("[]"), int(port)), app, log=None, error_log=log)
    try:
        server.start()
    except OSError as error:
        raise SettingsError(
            f"WORKER_METRICS={address}: cannot listen there: {error.strerror}. Each worker of a "
            "machine needs its own port."
        ) from None
    loop_lag.meter.start()
    return server


def _answer(request: Request, figures: Callable[[], RunnerStats]) -> Response:
    if request.path == "/healthz":
        return Response('{"status": "ok"}', content_type="application/json")
    if request.path == "/metrics":
        body, kind = metrics.of_worker(request.headers.get("Accept", ""), figures())
        return Response(body, content_type=kind)
    return Response("/metrics, /healthz\n", 404, content_type="text/plain")
