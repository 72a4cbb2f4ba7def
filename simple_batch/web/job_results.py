"""The results of a job as a grid: its page, the same rows as JSON, and the values of a column."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode

from flask import Blueprint, flash, jsonify, redirect, render_template, request, url_for
from flask_babel import gettext as _
from markupsafe import Markup
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from .. import export, insight
from ..core import content
from ..core.domain import Cause, Outcome, RequestStatus
from ..core.errors import InvalidInput
from ..core.messages import translatable
from ..core.request_input import Parameters
from ..insight.results_grid import ColumnValue
from ..services import configs, jobs, judging, result_views
from ..store import column_condition, column_keys, ratings
from ..store.column_condition import Condition
from ..store.grid_columns import MOMENTS, RATED, TIMES, Columns
from ..store.models import Job
from ..store.request_filter import RequestFilter
from ..store.row_selection import Selection
from ..store.sort_key import number_of
from . import grid_view, labels
from .filters import when
from .grid_view import GridView
from .i18n import as_parameters, with_epochs, zone_is_known
from .job import common
from .labels import translated
from .rating_view import COUNTS, ReviewView, score_word

blueprint = Blueprint("job_results", __name__)
_LOCAL = [f"{name}{sign}" for name in MOMENTS for sign in "><"]  # what datetime fields fill in


class _Asked:
    """What the URL asks for: filter, conditions on columns, view."""

    def __init__(self, job: Job, args: MultiDict[str, str] | None = None):
        args = request.args if args is None else args
        self.job = job
        self.columns = Columns(job)
        self.wanted = RequestFilter.parse(args)
        self.conditions = column_condition.parse(args, self.columns)
        self.review = ReviewView.parse(args)
        with_ratings = self.review.review is not None or ratings.exist(job.id)
        self.view = GridView.parse(args, self.columns, with_ratings)
        self.sort = "index" if self.review.review else args.get("sort") or "index"

    def query(self, after: str = "") -> insight.GridQuery:
        """What the URL asks for; ``after``: a place in the table in place of the URL's."""
        return insight.GridQuery(
            self.wanted,
            self.conditions,
            self.sort,
            self.view.per,
            after or request.args.get("after") or "",
            request.args.get("before") or "",
        )

    def before_opened(self) -> str:
        """The place in the table right before the row in the drawer (``open``), where the URL names no place
        and the first page can't have that row; else empty."""
        placed = self.sort != "index" or request.args.get("after") or request.args.get("before")
        opened = request.args.get("open", "")
        if placed or not (opened.isascii() and opened.isdigit() and len(opened) < 19):
            return ""
        is_far = self.view.per <= int(opened) < self.job.total
        return str(int(opened) - 1) if is_far else ""

    @property
    def filters(self) -> dict[str, Any]:
        """The URL parameters of the filter alone."""
        return {**self.wanted.to_args(), **column_condition.as_args(self.conditions)}

    @property
    def empty(self) -> list[str]:
        """The columns that have to be empty."""
        return [one.column for one in self.conditions if one.sign == column_condition.IS_EMPTY]

    @property
    def args(self) -> dict[str, Any]:
        """All URL parameters but the place in the table."""
        sort = {} if self.sort == "index" else {"sort": self.sort}
        return {**self.filters, **sort, **self.view.to_args(), **self.review.to_args()}

    def page(self, job_id: int) -> insight.GridPage:
        """The rows: what the filters find in the order of the URL, or those of a review."""
        if self.review.review is None:
            return insight.grid_page(job_id, self.query(), self.view.cols)
        indices = insight.review_set(
            job_id, self.review.review, self.wanted, self.conditions, judging.rater()
        )
        found = {row["index"]: row for row in insight.single_rows(job_id, indices, self.view.cols)}
        rows = [found[index] for index in indices if index in found]
        return insight.GridPage(rows, None, None, None, None, False, {})


@blueprint.get("/jobs/<int:job_id>/results")
def index(job_id: int):
    """The grid with the filters, order and columns of the URL; with ``fragment`` only the table."""
    job = jobs.get(job_id)
    converted = with_epochs(request.args, _LOCAL)
    if converted is not None and zone_is_known():
        here = url_for("job_results.index", job_id=job_id)
        return redirect(f"{here}?{urlencode(converted, doseq=True)}", 303)
    # static/js/theme.js loads the address again once it has told the zone
    asked = _Asked(job, None if converted is None else as_parameters(converted))
    is_part = bool(request.args.get("fragment"))
    place = "" if is_part else asked.before_opened()
    if place and insight.grid_page(job_id, asked.query(place), asked.view.cols).rows:
        args = {**asked.args, "open": request.args["open"], "after": place}
        return redirect(url_for("job_results.index", job_id=job_id, **args))
    page = asked.page(job_id)
    context = _context(job_id, asked, page)
    if is_part:
        return render_template("job/results_table.html", job=job, **context)
    return render_template(
        "job/results.html",
        tab="results",
        statuses=list(RequestStatus),
        causes=list(Cause),
        outcomes=list(Outcome),
        sizes=grid_view.SIZES,
        heights=grid_view.HEIGHTS,
        configs=configs.list_all(),
        values_of=_values_of(job_id, asked),
        views=result_views.listed(job),
        query=urlencode(asked.args, doseq=True),
        review_counts=COUNTS,
        labels_offered=ratings.labels_of(job),
        **common(job),
        **context,
    )


def _context(job_id: int, asked: _Asked, page: insight.GridPage) -> dict[str, Any]:
    def here(changes: dict[str, Any] | None = None, **more: Any) -> str:
        """The URL of the grid with changes; None leaves a parameter out."""
        args = {**asked.args, **(changes or {}), **more}
        given = {name: value for name, value in args.items() if value is not None}
        return url_for("job_results.index", job_id=job_id, **given)

    def only_empty(name: str, wanted: bool = True) -> str:
        """The URL of the rows where a column is empty too, or no longer has to be."""
        others = [column for column in asked.empty if column != name]
        return here({"empty": [*others, name] if wanted else others or None})

    return {
        "page": page,
        "wanted": asked.wanted,
        "conditions": asked.conditions,
        "view": asked.view,
        "sort": asked.sort,
        "filters": asked.filters,
        "args": asked.args,
        "here": here,
        "only_empty": only_empty,
        "indexed": jobs.index_text(job_id) if asked.wanted.q else 1.0,
        "columns": asked.columns,
        "titles": {name: grid_view.title(name) for name in asked.columns.by_name},
        "request_urls": url_for("job_requests.index", job_id=job_id),
        "request_query": urlencode(asked.wanted.to_args()),
        "numeric": grid_view.NUMERIC,
        "badges": grid_view.badges(asked.wanted),
        "signs": grid_view.signs,
        "moments": MOMENTS,
        "moment_of": _moment_of,
        "counted_soon": _counted_soon(asked),
        "units": {"cost": asked.job.currency, **dict.fromkeys(TIMES, "s")},
        "listed": grid_view.LISTED,
        "cell_text": grid_view.cell_text,
        "is_cut": grid_view.is_cut,
        "score_word": score_word,
        "condition_text": _condition_text(asked.job),
        "review": asked.review.review,
        "scored": _scored(job_id, asked, page),
    }


def _moment_of(text: str) -> int | None:
    """A moment of a condition as epoch ms."""
    seconds = number_of(text)
    # up to where a date can be written
    return None if seconds is None or not 0 <= seconds < 10**11 else round(1000 * seconds)


def _counted_soon(asked: _Asked) -> set[str]:
    """The columns whose values are counted without a wait."""
    if asked.job.total <= column_keys.AT_ONCE:
        return set(asked.columns.by_name)
    return column_keys.complete(asked.job) | set(RATED)


def _condition_text(job: Job) -> Callable[[Condition], str]:
    """The values of a condition on one line; scores and times as cells show them."""

    def text(condition: Condition) -> str:
        texts = condition.texts
        if condition.column in MOMENTS:
            moments = map(_moment_of, texts)
            shown = zip(texts, moments, strict=True)
            texts = tuple(one if ms is None else when(ms) for one, ms in shown)
            return Markup(" | ").join(texts)
        if condition.column == "rating" and condition.sign == column_condition.EQUAL:
            numbers = map(number_of, texts)
            texts = tuple(score_word(number, job.rating_scale) for number in numbers)
        sign = " & " if condition.sign == column_condition.CONTAINS else " | "
        return content.short(sign.join(texts), 60)

    return text


def _scored(job_id: int, asked: _Asked, page: insight.GridPage) -> set[int]:
    """In a review: the rows that the caller has given a score."""
    if asked.review.review is None:
        return set()
    indices = [row["index"] for row in page.rows]
    return ratings.scored_by(job_id, judging.rater(), indices)


def _values_of(job_id: int, asked: _Asked) -> dict[str, Any] | None:
    """The values of the column that the URL asks for."""
    name = request.args.get("values")
    return None if not name else _listed_values(job_id, name, asked)


def _listed_values(job_id: int, name: str, asked: _Asked) -> dict[str, Any]:
    listed = [*asked.columns.valued, *grid_view.LISTED]
    if name not in listed:
        raise InvalidInput(
            translatable(
                "values=%(name)r: use one of %(allowed)s.",
                name=name[:80],
                allowed=", ".join(listed)[:500],
            ),
            "values",
        )
    found, progress = insight.column_values(job_id, name)
    return {
        "name": name,
        "progress": progress,
        "values": found and [_listed_value(name, one, asked) for one in found],
    }


def _listed_value(name: str, one: ColumnValue, asked: _Asked) -> dict[str, Any]:
    """A value with the change of the URL that filters by it. Its count is of the whole job: None where the
    page keeps other conditions, under which fewer may be listed."""
    change = grid_view.filter_by(name, one.value, asked.empty)
    is_part = asked.review.review or grid_view.stays_filtered(asked.filters, name, change)
    return {
        "label": _value_label(name, one.value, asked.job),
        "change": change,
        "count": None if is_part else one.count,
    }


def _value_label(name: str, value: Any, job: Job) -> str:
    if name == "rating":
        return score_word(value, job.rating_scale)
    if name != "outcome":
        return grid_view.value_label(value)
    code = value or RequestStatus.PENDING
    return str(labels.OUTCOMES.get(code) or labels.STATUSES.get(code, code))


@blueprint.get("/jobs/<int:job_id>/results/values")
def values(job_id: int):
    """The distinct values of a column with their counts, as links; ``values`` names the column."""
    asked = _Asked(jobs.get(job_id))
    if not request.args.get("values"):
        return redirect(url_for("job_results.index", job_id=job_id, **asked.args), 303)
    listed = _listed_values(job_id, request.args["values"], asked)
    page = insight.GridPage([], None, None, None, None, False, {})
    return render_template(
        "job/results_values.html", values_of=listed, **_context(job_id, asked, page)
    )


@blueprint.get("/jobs/<int:job_id>/results.json")
def rows(job_id: int):
    """The rows of the page as JSON, with whole values; with ``index`` or ``rows`` single ones."""
    job = jobs.get(job_id)
    asked = _Asked(job)
    selection = Selection.parse(request.args, job)
    if selection.indices:
        matching = export.matching(job, asked.wanted, selection, grid_view.SIZES[-1])
        found = insight.single_rows(job_id, matching, asked.view.cols)
        return jsonify({"columns": list(asked.view.cols), "rows": found})
    page = asked.page(job_id)
    return jsonify(
        {
            "columns": list(asked.view.cols),
            "rows": page.rows,
            "next": page.next,
            "previous": page.previous,
            "further": page.further,
            "total": page.total if page.exact else None,
            "preparing": page.preparing,
        }
    )


def query_given() -> list[tuple[str, str]]:
    """The query of the grid that a form on its page was sent from."""
    return parse_qsl(request.form.get("query", "")[: 2 * result_views.LONGEST_QUERY])


def back_to_grid(job_id: int) -> Response:
    """The grid as it was when the form was sent."""
    given = query_given()
    query = f"?{urlencode(given)}" if given else ""
    return redirect(url_for("job_results.index", job_id=job_id) + query, 303)


@blueprint.post("/jobs/<int:job_id>/results/views")
def save_view(job_id: int):
    """Keep the query of the form under a name, for this job or, with ``all_jobs``, for all with these
    columns."""
    job = jobs.get(job_id)
    asked = _Asked(job, Parameters(query_given()))
    for_all = request.form.get("all_jobs") == "1"
    try:
        view = result_views.save(job, request.form.get("name", ""), asked.args, for_all)
    except InvalidInput as error:
        flash(translated(error), "warning")
    else:
        flash(_("View “%(name)s” saved.", name=view.name), "success")
    return redirect(url_for("job_results.index", job_id=job_id, **asked.args), 303)


@blueprint.post("/jobs/<int:job_id>/results/views/<int:view_id>")
def change_view(job_id: int, view_id: int):
    """Give a view the name in the form, or delete it."""
    job = jobs.get(job_id)
    try:
        if request.form.get("action") == "delete":
            view = result_views.delete(job, view_id)
            flash(_("View “%(name)s” deleted.", name=view.name), "success")
        else:
            result_views.rename(job, view_id, request.form.get("name", ""))
    except InvalidInput as error:
        flash(translated(error), "warning")
    return redirect(url_for("job_results.index", job_id=job_id), 303)
