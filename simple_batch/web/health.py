"""/healthz: the process lives. /readyz: it can work. /metrics: how it does."""

from flask import Blueprint, Response, current_app, jsonify, request

from .. import jobs, metrics, readiness

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def healthz():
    """The process answers."""
    return jsonify(status="ok")


@blueprint.get("/readyz")
def readyz():
    """Each check by name; 503 and the first that fails as the reason where one does."""
    found = readiness.checks()
    wrong = next((name for name, check in found.items() if not check.ok), None)
    shown = {
        name: {"ok": True} if check.ok else {"ok": False, "detail": check.detail}
        for name, check in found.items()
    }
    body = {"status": "ok" if wrong is None else "unavailable", "runner": jobs.runner_state()}
    if wrong is not None:
        body["reason"] = wrong
    return jsonify(**body, checks=shown), 200 if wrong is None else 503


@blueprint.get("/metrics")
def prometheus():
    """For Prometheus, in its text format or OpenMetrics."""
    clients = current_app.extensions["simple_batch_feed"].clients
    body, kind = metrics.exposition(request.headers.get("Accept", ""), clients)
    return Response(body, content_type=kind)
