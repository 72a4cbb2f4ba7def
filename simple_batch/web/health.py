"""/healthz: the process lives. /readyz: it can work."""

import peewee
from flask import Blueprint, jsonify

from .. import jobs
from ..store.models import Job

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def healthz():
    """The process answers."""
    return jsonify(status="ok")


@blueprint.get("/readyz")
def readyz():
    """The database answers and, where jobs run here, results can be written."""
    try:
        Job.select(Job.id).limit(1).scalar()
    except peewee.PeeweeException:
        return jsonify(status="unavailable", reason="database"), 503
    if jobs.storage_fault():
        return jsonify(status="unavailable", reason="storage"), 503
    return jsonify(status="ok", runner=jobs.runner_state())
