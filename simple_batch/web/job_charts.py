"""The charts of a job, as pages, data and tables."""

from flask import Blueprint, jsonify, render_template, request

from .. import insight
from ..errors import InvalidInput
from .job_pages import common

blueprint = Blueprint("job_charts", __name__)

WIDTHS = (1, 5, 10, 30, 60, 300, 3600)


@blueprint.get("/jobs/<int:job_id>/charts")
def index(job_id: int):
    """Throughput, latency, tokens and cost over time; the latency histogram."""
    window = _window()
    return render_template(
        "job/charts.html",
        tab="charts",
        window=window,
        widths=WIDTHS,
        buckets=insight.buckets(job_id, *window.values()),
        histogram=insight.latency_histogram(job_id),
        **common(job_id),
    )


@blueprint.get("/jobs/<int:job_id>/charts.json")
def data(job_id: int):
    """The same as data: at most 600 buckets."""
    return jsonify(
        buckets=insight.buckets(job_id, *_window().values()),
        histogram=insight.latency_histogram(job_id),
    )


def _window() -> dict:
    """from, to (epoch seconds) and bucket width of the URL."""
    window = {}
    for name in ("from", "to", "bucket"):
        text = request.args.get(name)
        try:
            window[name] = float(text) if text else None
        except ValueError:
            raise InvalidInput(f"{name}={text!r}: not a number.", name) from None
        if window[name] is not None and not 0 <= window[name] < 1e11:
            raise InvalidInput(f"{name}={text!r}: not a time or width in seconds.", name)
    if window["bucket"] is not None:
        window["bucket"] = max(1, int(window["bucket"]))
    return window
