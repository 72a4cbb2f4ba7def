"""The requests of a job: the table, and one of them."""

import json

from flask import Blueprint, render_template, request

from .. import configs, insight
from ..domain import Cause, RequestStatus
from ..store.filters import RequestFilter
from .job_pages import common

blueprint = Blueprint("job_requests", __name__)

PER_PAGE = 50


@blueprint.get("/jobs/<int:job_id>/requests")
def index(job_id: int):
    """The table, filtered as the URL says; a fragment without the page where one is asked for."""
    wanted = RequestFilter.parse(request.args)
    sort = request.args.get("sort", "index")
    page = insight.requests_page(
        job_id,
        wanted,
        sort,
        request.args.get("page", 1, type=int),
        PER_PAGE,
        request.args.get("after", type=int),
    )
    context = {"page": page, "wanted": wanted, "args": _args(wanted, sort), "sort": sort}
    if request.args.get("fragment"):
        return render_template("job/requests_table.html", **common(job_id), **context)
    return render_template(
        "job/requests.html",
        tab="requests",
        statuses=list(RequestStatus),
        causes=list(Cause),
        **common(job_id),
        **context,
    )


@blueprint.get("/jobs/<int:job_id>/requests/<int:index>")
def detail(job_id: int, index: int):
    """One request: what was asked, what came back, every attempt."""
    wanted = RequestFilter.parse(request.args)
    found = insight.request_detail(job_id, index)
    previous, following, position, total = insight.neighbours(job_id, index, wanted)
    head = common(job_id)
    config = configs.get(head["job"].config_id)
    return render_template(
        "job/request.html",
        tab="requests",
        request_=found,
        previous=previous,
        following=following,
        position=position,
        neighbours_total=total,
        args=wanted.to_args(),
        curl=_curl(config, found),
        python=_python(config, found),
        **head,
    )


def _args(wanted: RequestFilter, sort: str) -> dict:
    args = wanted.to_args()
    if sort != "index":
        args["sort"] = sort
    return args


def _sent(config, found: dict) -> dict:
    """The body as it is sent, for the copies: the config's defaults under the user's fields."""
    defaults = {"model": config.model}
    if found["url"] in ("/v1/chat/completions", "/v1/completions"):
        defaults |= configs.fields_of(config).params
        for name in ("max_tokens", "temperature"):
            if getattr(config, name) is not None:
                defaults[name] = getattr(config, name)
    try:
        body = json.loads(found["body"])
    except ValueError:
        body = {}
    return {**body, **{name: value for name, value in defaults.items() if name not in body}}


def _curl(config, found: dict) -> str:
    body = json.dumps(_sent(config, found), ensure_ascii=False, indent=2).replace("'", "'\\''")
    return (
        f"curl '{config.base_url}{found['url'].removeprefix('/v1')}' \\\n"
        '  -H "Authorization: Bearer $OPENAI_API_KEY" \\\n'
        "  -H 'Content-Type: application/json' \\\n"
        f"  -d '{body}'"
    )


def _python(config, found: dict) -> str:
    path = found["url"].removeprefix("/v1")
    body = json.dumps(_sent(config, found), ensure_ascii=False, indent=2)
    return (
        "import json, os, requests\n\n"
        f"body = json.loads(r'''{body}''')\n"
        f"answer = requests.post(\n    {config.base_url + path!r},\n"
        '    headers={"Authorization": f"Bearer {os.environ[\'OPENAI_API_KEY\']}"},\n'
        "    json=body,\n    timeout=120,\n)\nprint(answer.json())"
    )
