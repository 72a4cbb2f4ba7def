"""The requests of a job: the table, and one of them."""

from urllib.parse import urlencode

import msgspec
from flask import Blueprint, Response, redirect, render_template, request, url_for
from flask_babel import lazy_gettext as _

from .. import insight, intake
from ..core import content
from ..core.domain import Cause, Outcome, Request, RequestStatus
from ..core.errors import InvalidInput, NotFound
from ..core.messages import translatable
from ..core.request_input import page_number
from ..services import configs, jobs
from ..services.shown_call import shown_call
from ..store.models import ApiConfig, Job
from ..store.request_filter import RequestFilter
from . import call_snippets
from .i18n import as_parameters, with_epochs, zone_is_known
from .job import common
from .rating_view import rating_context

blueprint = Blueprint("job_requests", __name__)

_TABLE_ARGS = ("sort", "per", "cols", "page", "after")  # besides the filter
SIZES = (25, 50, 100, 200, 500)
COLUMNS = {
    "custom_id": "custom_id",
    "status": _("Status"),
    "outcome": _("Outcome"),
    "finish_reason": "finish_reason",
    "service_tier": "service_tier",
    "code": "HTTP",
    "attempts": _("Attempts"),
    "latency": _("Latency"),
    "first_token": _("First token"),
    "tokens": _("Tokens in/out"),
    "cost": _("Cost"),
    "config": "API",
    "model": _("Model"),
    "started": _("Started"),
    "finished": _("Finished"),
    "text": _("Request → answer"),
}
SHOWN = ("custom_id", "status", "attempts", "latency", "tokens", "cost", "started", "text")


class View(msgspec.Struct, frozen=True):
    """How the table is shown: order, rows on a page, columns."""

    sort: str = "index"
    per: int = 50
    cols: tuple[str, ...] = SHOWN

    @classmethod
    def parse(cls, args) -> "View":
        """From URL parameters (sort, per, cols). Raises InvalidInput naming the parameter."""
        per = args.get("per") or "50"
        if per not in map(str, SIZES):
            raise InvalidInput(
                translatable(
                    "per=%(per)r: use one of %(allowed)s.",
                    per=per,
                    allowed=", ".join(map(str, SIZES)),
                ),
                "per",
            )
        # a list of check boxes, or one parameter with commas
        named = [name for part in args.getlist("cols") for name in part.split(",") if name]
        for name in named:
            if name not in COLUMNS:
                raise InvalidInput(
                    translatable(
                        "cols=%(name)r: use some of %(allowed)s.",
                        name=name,
                        allowed=", ".join(COLUMNS),
                    ),
                    "cols",
                )
        cols = tuple(name for name in COLUMNS if name in named) if named else SHOWN
        return cls(args.get("sort") or "index", int(per), cols)

    def to_args(self) -> dict:
        """The URL parameters that ``parse`` reads back, without defaults."""
        default = View()
        args: dict[str, str | int] = {}
        if self.sort != default.sort:
            args["sort"] = self.sort
        if self.per != default.per:
            args["per"] = self.per
        if self.cols != default.cols:
            args["cols"] = ",".join(self.cols)
        return args


@blueprint.get("/jobs/<int:job_id>/requests")
def index(job_id: int):
    """The table with the filters of the URL; with ``fragment`` only the table."""
    converted = with_epochs(request.args)
    if converted is not None and zone_is_known():
        here = url_for("job_requests.index", job_id=job_id)
        return redirect(f"{here}?{urlencode(converted, doseq=True)}", 303)
    # static/js/theme.js loads the address again once it has told the zone
    args = request.args if converted is None else as_parameters(converted)
    wanted, view = RequestFilter.parse(args), View.parse(args)
    page = insight.requests_page(
        job_id,
        wanted,
        view.sort,
        request.args.get("page", 1, type=page_number),
        view.per,
        request.args.get("after", type=int),
    )
    context = {
        "page": page,
        "indexed": jobs.index_text(job_id) if wanted.q else 1.0,
        "wanted": wanted,
        "filters": wanted.to_args(),
        "args": {**wanted.to_args(), **view.to_args()},
        "view": view,
        "view_args": view.to_args(),
        "columns": COLUMNS,
    }
    if request.args.get("fragment"):
        return render_template("job/requests_table.html", **common(job_id), **context)
    return render_template(
        "job/requests.html",
        tab="requests",
        statuses=list(RequestStatus),
        causes=list(Cause),
        outcomes=list(Outcome),
        sizes=SIZES,
        configs=configs.list_all(),
        **common(job_id),
        **context,
    )


class Edit(msgspec.Struct, frozen=True):
    """A request that a user edited and that could not be sent: the text, why, and where in it."""

    text: str
    message: str
    place: intake.Place | None


@blueprint.get("/jobs/<int:job_id>/requests/<int:index>")
def detail(job_id: int, index: int):
    """One request: its body, its answer, all attempts; with ``fragment`` only what a drawer shows."""
    if request.args.get("fragment"):
        return _drawer(job_id, index)
    return request_page(job_id, index)


def _drawer(job_id: int, index: int) -> str:
    job = jobs.get(job_id)
    found = insight.request_detail(job_id, index)
    rating = rating_context(job, found)
    return render_template("job/request_drawer.html", job=job, drawer=True, **rating)


@blueprint.get(
    "/jobs/<int:job_id>/requests/<int:index>/"
    "<any('answer.txt', 'response.json', 'request.json'):part>"
)
def whole(job_id: int, index: int, part: str) -> Response:
    """What is too long for the page of a request, as it is stored."""
    given: str | bytes
    if part == "answer.txt":
        given = insight.whole_answer(job_id, index).encode("utf-8", "replace")
    elif part == "response.json":
        given = insight.whole_response(job_id, index)
    else:
        given = insight.whole_request(job_id, index)
    kind = "text/plain" if part == "answer.txt" else "application/json"
    answer = Response(given, content_type=f"{kind}; charset=utf-8")
    answer.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return answer


def here(job_id: int, index: int) -> str:
    """The URL of a request's page with what the present URL says of the table it was opened from."""
    args = {**RequestFilter.parse(request.args).to_args(), **_table_args()}
    return url_for("job_requests.detail", job_id=job_id, index=index, **args)


def _table_args() -> dict:
    return {name: request.args[name] for name in _TABLE_ARGS if request.args.get(name)}


def request_page(job_id: int, index: int, edit: Edit | None = None) -> str:
    """The page of one request; with an ``edit`` its editor is open."""
    wanted = RequestFilter.parse(request.args)
    found = insight.request_detail(job_id, index)
    previous, following, position, total = insight.neighbours(job_id, index, wanted)
    head = common(job_id)
    config = _config_of(head["job"], found)
    body = _sent(config, head["job"], found)
    timeout_s = head["job"].timeout_s or config.timeout_s
    return render_template(
        "job/request.html",
        tab="requests",
        previous=previous,
        following=following,
        position=position,
        neighbours_total=total,
        args=wanted.to_args(),
        table_args=_table_args(),
        edit=edit,
        **rating_context(head["job"], found),
        **({} if body is None else _snippets(config, found["url"], body, timeout_s)),
        **head,
    )


def _snippets(config: ApiConfig, path: str, body: str, timeout_s: float) -> dict[str, str]:
    """The request for a terminal, as templates take it."""
    call = shown_call(config, path, body.encode())
    if call is None:
        return {"no_such_call": "yes"}
    sent = body if call.body == body.encode() else content.readable(call.body).text
    return {
        "curl": call_snippets.curl(call, sent),
        "python": call_snippets.python(call, sent, timeout_s),
    }


def _config_of(job: Job, found: insight.RequestDetail) -> ApiConfig:
    """The config that the answer came from, if it still exists; else the job's."""
    try:
        return configs.get(found["config"] or job.config_id)
    except NotFound:
        return configs.get(job.config_id)


def _sent(config: ApiConfig, job: Job, found: insight.RequestDetail) -> str | None:
    """The body as it is sent, indented; None where it is too large for the page."""
    if found["body_bytes"] is not None:
        return None
    body = found["body"].encode()
    asked = Request(found["index"], found["custom_id"], body, found["url"], found["line"])
    sent = content.readable(configs.body_sent(config, job, asked))
    return sent.text if sent.cut is None else None
