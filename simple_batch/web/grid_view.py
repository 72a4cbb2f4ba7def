"""How a results grid is shown: columns, widths, row height, and everything of it in URLs."""

from typing import Any

import msgspec
from flask_babel import gettext
from flask_babel import lazy_gettext as _
from markupsafe import Markup

from ..core import content
from ..core.domain import Outcome, RequestStatus
from ..core.errors import InvalidInput
from ..core.messages import translatable
from ..store.column_condition import CONTAINS, LEAST, MOST
from ..store.grid_columns import (
    CELL,
    CODE,
    FIELD,
    FIGURES,
    MOMENTS,
    RATED,
    SCORED,
    TEXTS,
    Columns,
    text_of,
)
from ..store.request_filter import RequestFilter
from .filters import when

SIZES = (25, 50, 100, 200, 500)
HEIGHTS = ("S", "M", "L")
PER, HEIGHT = 100, "S"
LONGEST = 600  # characters of a value that a cell has
_MIN_WIDTH, _MAX_WIDTH = 40, 1_600  # px
_MOST_CELLS, _MOST_FIELDS = 8, 12  # columns that are shown unless others are chosen
TITLES = {
    "custom_id": "custom_id",
    "prompt": _("Last user message"),
    "answer": _("Answer"),
    "outcome": _("Outcome"),
    "cost": _("Cost"),
    "latency": _("Latency"),
    "first_token": _("First token"),
    "tokens_in": _("Tokens in"),
    "tokens_out": _("Tokens out"),
    "config": "API",
    "model": _("Model"),
    "attempts": _("Attempts"),
    "started": _("Started"),
    "finished": _("Finished"),
    "code": "HTTP",
    "finish_reason": "finish_reason",
    "service_tier": "service_tier",
    "rating": _("Rating"),
    "labels": _("Labels"),
    "note": _("Note"),
}
NUMERIC = frozenset(
    {"cost", "latency", "first_token", "tokens_in", "tokens_out", "attempts", "code", "rating"}
)
# columns besides the user's whose values a menu lists
LISTED = (
    "outcome", "config", "rating", "labels", "model", "attempts", "code", "finish_reason", "service_tier",
)  # fmt: skip
_SHOWN_BEHIND = ("cost", "latency", "tokens_in", "tokens_out", "config")


class GridView(msgspec.Struct, frozen=True):
    """``cols`` in their order; ``widths`` in px by column; ``wrap`` shows whole texts; ``height``: S is one
    line, M three, L eight."""

    cols: tuple[str, ...]
    widths: dict[str, int]
    chosen: bool = False  # whether the columns are not the default
    wrap: bool = False
    height: str = HEIGHT
    per: int = PER

    @classmethod
    def parse(cls, args: Any, columns: Columns, with_ratings: bool = False) -> "GridView":
        """From URL parameters (cols, w, wrap, h, per); ``with_ratings`` shows labels and notes unless
        other columns are chosen. Raises InvalidInput naming the parameter."""
        named = _names(args.getlist("cols"), columns)
        return cls(
            cols=named or default_columns(columns, with_ratings),
            widths=_widths(args.getlist("w"), columns),
            chosen=bool(named),
            wrap=_one_of(args, "wrap", ("0", "1"), "0") == "1",
            height=_one_of(args, "h", HEIGHTS, HEIGHT),
            per=int(_one_of(args, "per", tuple(map(str, SIZES)), str(PER))),
        )

    def to_args(self) -> dict[str, Any]:
        """The URL parameters that ``parse`` reads back, without defaults."""
        args: dict[str, Any] = {}
        if self.chosen:
            args["cols"] = list(self.cols)
        if self.widths:
            args["w"] = [f"{name}:{width}" for name, width in self.widths.items()]
        if self.wrap:
            args["wrap"] = "1"
        if self.height != HEIGHT:
            args["h"] = self.height
        if self.per != PER:
            args["per"] = self.per
        return args


def default_columns(columns: Columns, with_ratings: bool = False) -> tuple[str, ...]:
    """The columns of the table, the answer, the fields of the schema, what became of it, and its rating
    (``with_ratings``: also labels and note)."""
    cells = [name for name in columns.by_name if name.startswith(CELL)][:_MOST_CELLS]
    fields = [name for name in columns.by_name if name.startswith(FIELD)][:_MOST_FIELDS]
    scored = [name for name in columns.by_name if name.startswith(SCORED)][:_MOST_FIELDS]
    rated = RATED if with_ratings else RATED[:1]
    return (*(cells or ["prompt"]), "answer", *fields, *scored, "outcome", *rated, *_SHOWN_BEHIND)


def title(name: str) -> str:
    """The title of a column."""
    for mark in (CELL, FIELD):
        if name.startswith(mark):
            return name.removeprefix(mark)
    if name.startswith(SCORED):
        job_id, _dot, field = name.removeprefix(SCORED).partition(".")
        return gettext("%(name)s (job %(job_id)s)", name=field, job_id=job_id)
    return str(TITLES[name])


def cell_text(value: Any) -> str:
    """A value as a cell shows it, with its line breaks; a long one is cut."""
    text = text_of(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def is_cut(value: Any) -> bool:
    """Whether a cell does not have the whole value."""
    return len(text_of(value)) > LONGEST


def signs(name: str) -> list[tuple[str, str]]:
    """The comparisons that the menu of a column offers: the sign of its URL parameter, and words."""
    if name == "outcome":  # its words are translated
        return []
    if name in (*TEXTS, "labels", "note", "config"):
        return [(CONTAINS, gettext("contains"))]
    if name in MOMENTS:
        return [(LEAST, gettext("from")), (MOST, gettext("until"))]
    bounds = [(LEAST, "≥"), (MOST, "≤")]
    return (
        bounds if name in (*FIGURES, "rating", CODE) else [(CONTAINS, gettext("contains")), *bounds]
    )


def filter_by(name: str, value: Any, empty: list[str]) -> dict[str, Any]:
    """The URL parameters of the requests with this value, and without other filters of the column;
    ``empty``: the columns that have to be empty now."""
    if name == "outcome":
        is_outcome = value in set(Outcome)
        status = None if is_outcome else value or RequestStatus.PENDING.value
        return {"outcome": value if is_outcome else None, "status": status}
    text = text_of(value)
    others = [column for column in empty if column != name]
    if not text.strip():
        return {name: None, "empty": [*others, name]}
    return {name: text, "empty": others or None}


def stays_filtered(filters: dict[str, Any], name: str, change: dict[str, Any]) -> bool:
    """Whether other conditions than that on the column stay with the ``change`` of filter_by."""
    empty = change.get("empty") or []
    return bool(filters.keys() - change.keys()) or any(column != name for column in empty)


def badges(wanted: RequestFilter) -> list[tuple[str, str]]:
    """The parts of a filter that have no field on the page: the URL parameter, and words."""
    bounds = (
        ("code", TITLES["code"], "=", wanted.code),
        ("config", TITLES["config"], "=", wanted.config),
        ("min_ms", TITLES["latency"], "≥", _ms(wanted.min_ms)),
        ("max_ms", TITLES["latency"], "≤", _ms(wanted.max_ms)),
        ("min_tokens", TITLES["tokens_out"], "≥", wanted.min_tokens),
        ("max_tokens", TITLES["tokens_out"], "≤", wanted.max_tokens),
        ("from", TITLES["finished"], "≥", wanted.from_ms and when(wanted.from_ms)),
        ("to", TITLES["finished"], "<", wanted.to_ms and when(wanted.to_ms)),
        ("group", gettext("Group of errors"), "=", wanted.group and wanted.group[:8]),
    )
    return [
        (parameter, Markup("{} {} {}").format(title, sign, value))  # nosec B704 - it escapes
        for parameter, title, sign, value in bounds
        if value is not None
    ]


def _ms(value: int | None) -> str | None:
    return None if value is None else f"{value} ms"


def value_label(value: Any) -> str:
    """A value on one line, as menus list it."""
    return content.short(text_of(value), 60)


def _names(given: list[str], columns: Columns) -> tuple[str, ...]:
    found: list[str] = []
    for text in given:
        # names may have commas
        for name in [text] if text in columns else filter(None, text.split(",")):
            if name not in columns:
                raise InvalidInput(
                    translatable(
                        "cols=%(name)r: use some of %(allowed)s.",
                        name=name[:80],
                        allowed=", ".join(columns.by_name)[:500],
                    ),
                    "cols",
                )
            found.append(name)
    return tuple(dict.fromkeys(found))


def _widths(given: list[str], columns: Columns) -> dict[str, int]:
    found = {}
    for text in filter(None, given):
        name, _colon, width = text.rpartition(":")
        if name not in columns or not width.isascii() or not width.isdigit() or len(width) > 5:
            raise InvalidInput(
                translatable(
                    "w=%(text)r: give a column and its width in pixels, for example answer:320.",
                    text=text[:80],
                ),
                "w",
            )
        found[name] = max(_MIN_WIDTH, min(_MAX_WIDTH, int(width)))
    return found


def _one_of(args: Any, name: str, allowed: tuple[str, ...], default: str) -> str:
    text = args.get(name) or default
    if text not in allowed:
        raise InvalidInput(
            translatable(
                "%(name)s=%(value)r: use one of %(allowed)s.",
                name=name,
                value=text[:60],
                allowed=", ".join(allowed),
            ),
            name,
        )
    return text
