"""The charts of a job, as a page, as data, as tables; and as a self-contained report."""

import csv
import io
from collections.abc import Mapping
from typing import Any

from flask import Blueprint, jsonify, render_template, request
from flask_babel import lazy_gettext as _

from .. import export, insight
from ..core.errors import InvalidInput, NotFound
from ..core.home import resource
from ..core.messages import translatable
from ..insight.charts import Charts
from ..insight.summary import iso
from ..services import job_options
from ..store.request_filter import RequestFilter
from ..store.savings import saved
from .downloads import attached
from .job import common
from .rating_view import mean_word, score_word

blueprint = Blueprint("job_charts", __name__)

WIDTHS = (1, 5, 10, 30, 60, 300, 3600)
# name: title, where its rows are in the data, and their columns
CHARTS = {
    "outcomes": (
        _("Requests over time"),
        "buckets",
        (
            ("sent", _("sent")),
            ("succeeded", _("succeeded")),
            ("failed", _("failed")),
            ("retried", _("retried")),
        ),
    ),
    "latency": (
        _("Latency"),
        "buckets",
        (("p50_ms", "p50 (ms)"), ("p95_ms", "p95 (ms)"), ("p99_ms", "p99 (ms)")),
    ),
    "first_token": (
        _("Time to first token"),
        "buckets",
        (("first_p50_ms", "p50 (ms)"), ("first_p95_ms", "p95 (ms)")),
    ),
    "limit": (
        _("In flight and limit"),
        "buckets",
        (
            ("in_flight", _("in flight")),
            ("limit", _("limit")),
            ("cooling_s", _("cooldown (s)")),
        ),
    ),
    "tokens": (
        _("Tokens per second"),
        "buckets",
        (("input_tokens", _("input tokens")), ("output_tokens", _("output tokens"))),
    ),
    "cost": (
        _("Cumulative cost"),
        "buckets",
        (("cost", _("cost")), ("cost_sum", _("cumulative"))),
    ),
    "histogram": (
        _("Latency histogram"),
        "histogram",
        (("from_ms", _("from (ms)")), ("to_ms", _("to (ms)")), ("count", _("requests"))),
    ),
    "scatter": (
        _("Latency vs. output tokens"),
        "points",
        (("index", "#"), ("tokens", _("output tokens")), ("latency_ms", _("latency (ms)"))),
    ),
}


@blueprint.get("/jobs/<int:job_id>/charts")
def index(job_id: int):
    """All charts over one window of time, of the requests that the filters name."""
    wanted = RequestFilter.parse(request.args)
    found = insight.charts(job_id, wanted, _bucket())
    return render_template(
        "job/charts.html",
        tab="charts",
        filters=wanted.to_args(),
        listed=_listed(wanted, found),
        bucket=_bucket(),
        widths=WIDTHS,
        charts=_drawn(found),
        data=found,
        **common(job_id),
    )


@blueprint.get("/jobs/<int:job_id>/charts.json")
def data(job_id: int):
    """The charts as JSON: at most 600 buckets."""
    return jsonify(insight.charts(job_id, RequestFilter.parse(request.args), _bucket()))


@blueprint.get("/jobs/<int:job_id>/charts/<name>.csv")
def table(job_id: int, name: str):
    """One chart as CSV; times are ISO 8601 in UTC."""
    if name not in CHARTS:
        raise NotFound(
            translatable(
                "There is no chart %(name)s: use one of %(allowed)s.",
                name=name,
                allowed=", ".join(CHARTS),
            )
        )
    _title, part, columns = CHARTS[name]
    parts: Mapping[str, Any] = insight.charts(job_id, RequestFilter.parse(request.args), _bucket())
    text = io.StringIO()
    writer = csv.writer(text)
    names = [column for column, _title in columns]
    timed = part == "buckets"
    writer.writerow((["time", "bucket_s"] if timed else []) + names)
    for row in parts[part]:
        moment = [iso(row["t"] * 1000), row["bucket_s"]] if timed else []
        writer.writerow(moment + [row[column] for column in names])
    return attached(text.getvalue().encode(), f"job-{job_id}-{name}.csv", "text/csv; charset=utf-8")


@blueprint.get("/jobs/<int:job_id>/report.html")
def report(job_id: int):
    """Figures, error groups and charts in one file that needs nothing else."""
    head = common(job_id)
    found = insight.charts(job_id, RequestFilter())
    page = render_template(
        "job/report.html",
        charts=_drawn(found),
        data=found,
        groups=insight.error_groups(job_id),
        summary=insight.summary(job_id),
        savings=saved(head["job"]),
        score_word=score_word,
        mean_word=mean_word,
        chosen=job_options.of(head["job"]),
        style=_static("vendor/bootstrap/bootstrap.min.css") + _static("css/app.css"),
        echarts=_static("vendor/echarts/echarts.min.js"),
        drawing=_static("js/charts.js"),
        **head,
    )
    name = export.filename(head["job"], "html")
    return attached(page.encode(), name, "text/html; charset=utf-8")


def _listed(wanted: RequestFilter, found: Charts) -> dict:
    """The URL parameters of the requests that the charts count, in the window that they show."""
    window = {"from": found["from_s"], "to": found["to_s"]}
    return wanted.to_args() | {name: at for name, at in window.items() if at is not None}


def _drawn(found: Charts) -> dict:
    """The charts that are shown: times to the first token only where answers came as streams."""
    streamed = any(bucket["first_p50_ms"] is not None for bucket in found["buckets"])
    return {name: chart for name, chart in CHARTS.items() if streamed or name != "first_token"}


def _static(name: str) -> str:
    """A static file to be inlined into a page, where nothing in it may end the element."""
    text = resource("static", name).read_text("utf-8")
    return text.replace("</script", "<\\/script")


def _bucket() -> int | None:
    text = request.args.get("bucket")
    try:
        return max(1, int(float(text))) if text else None
    except (ValueError, OverflowError):
        raise InvalidInput(
            translatable("bucket=%(text)r: not a number of seconds.", text=text), "bucket"
        ) from None
