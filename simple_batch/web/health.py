"""/healthz: the process lives. /readyz: it can work. /metrics: its figures."""

from flask import Blueprint, Response, current_app, jsonify, request

from ..core import identity
from ..services import lifecycle, readiness

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def healthz():
    """The process answers."""
    return jsonify(status="ok")


@blueprint.get("/readyz")
def readyz():
    """Each check by name; 503 and the first that fails as the reason where one does. Without workers
    pages are served, and it says so."""
    found = readiness.checks()
    failed = [name for name, check in found.items() if not check.ok]
    vital = next((name for name in failed if found[name].vital), None)
    shown = {
        name: {"ok": True} if check.ok else {"ok": False, "detail": check.detail}
        for name, check in found.items()
    }
    body = {"status": "unavailable" if vital else "degraded" if failed else "ok", **_runner()}
    if failed:
        body["reason"] = vital or f"no-{failed[0]}"
    return jsonify(**body, checks=shown), 503 if vital else 200


def _runner() -> dict:
    if not lifecycle.by_workers():
        return {"runner": lifecycle.runner_state()}
    workers = readiness.workers_alive()
    return {"runner": "elsewhere" if workers else "none", "workers": workers}


@blueprint.get("/metrics")
def prometheus():
    """For Prometheus, in its text format or OpenMetrics; with what the caller sees."""
    from ..services import metrics  # takes 20 ms, which only Prometheus needs

    clients = len(current_app.extensions["simple_batch_feed"].clients)
    sees = identity.current().sees
    body, kind = metrics.of_server(request.headers.get("Accept", ""), clients, sees)
    return Response(body, content_type=kind)
