"""Columns of a job's results: what each is called, and how its value is read from a row.

A column is named as URLs name it: ``col.<name>`` is a column of the table that the job was made from,
``field.<name>`` a top-level property of the job's JSON Schema, ``scored.<job>.<name>`` one of a job that
read these answers (services/answer_scores.py); the others are those of _OURS. Columns of
ratings (RATED) have no sort keys: ``rated_answer`` has an index of its few rows.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from ..core import content, identity
from . import visibility
from .models import Job

if TYPE_CHECKING:
    from ..core.schema import Schema

CELL, FIELD, SCORED = "col.", "field.", "scored."
RATED = ("rating", "labels", "note")
PROMPT = "prompt"  # the last user message
TEXTS = ("answer", PROMPT, "custom_id", "model", "finish_reason", "service_tier")
TIMES = ("latency", "first_token")
MOMENTS = ("started", "finished")
FIGURES = ("cost", *TIMES, "tokens_in", "tokens_out", "attempts", *MOMENTS)
# what is asked for in units of the currency and seconds is stored in nano-units and milliseconds
SCALES = {"cost": 10**9, **dict.fromkeys((*TIMES, *MOMENTS), 1000)}
CODE = "code"  # the HTTP status
FILTERED = (CODE, "config", "outcome")  # store/request_filter.py filters by their values
MAX_ANSWER = 200_000  # bytes of an answer, or of a request, that the grid reads
# what is too long is selected as nothing (UNREAD), as opposed to what is not there
_SHORT_ANSWER = (
    f"CASE WHEN length(x.response) >= {MAX_ANSWER} THEN substr(x.response, 1, 0) "
    "WHEN length(x.response) > 0 THEN x.response END"
)
_FITTING = f"CASE WHEN x.status = 'succeeded' THEN {_SHORT_ANSWER} END"
_SCORED = (
    "(SELECT CASE WHEN y.status = 'succeeded' THEN CASE WHEN length(y.response) >= {most} "
    "THEN substr(y.response, 1, 0) WHEN length(y.response) > 0 THEN y.response END END "
    "FROM request q JOIN result y ON y.job_id = q.job_id AND y.idx = q.idx "
    "WHERE q.job_id = {job} AND q.custom_id = r.custom_id)"
)
_SENT = (
    "coalesce((SELECT o.body FROM override o WHERE o.job_id = r.job_id AND o.idx = r.idx), r.body)"
)
_header = msgspec.json.Decoder(list[str | tuple[str, str]]).decode
_list = msgspec.json.Decoder(list).decode


@lru_cache(maxsize=64)  # compiling one takes longer than reading a page of rows
def _schema(text: str) -> "Schema":
    from ..core.schema import Schema  # loaded for jobs that have one

    return Schema(msgspec.json.decode(text))


class Source(NamedTuple):
    """What columns are read from: an SQL expression on a request ``r`` and its result ``x``, how its
    value is decoded, and whether it changes with the result, or with those of another job (``follows``)."""

    sql: str
    decode: Callable[[Any], Any]
    of_result: bool = True
    follows: int | None = None

    @property
    def is_large(self) -> bool:
        """Whether it may be a whole answer or request."""
        return self.sql.startswith("CASE") or self.follows is not None


class Column(NamedTuple):
    """A column: its name in URLs, the source it is read from, and how."""

    name: str
    source: str
    pick: Callable[[Any], Any]


def _cells(raw: bytes | None) -> list:
    return _list(bytes(raw)) if raw else []


class TooLong:
    """The value of what is too long to be read for the grid: it is not empty."""

    def __bool__(self) -> bool:
        return False


TOO_LONG = TooLong()
UNREAD = b""


def _is_unread(raw: bytes | None) -> bool:
    return raw is not None and len(raw) == len(UNREAD)


def _prompt(body: bytes) -> str | TooLong:
    return TOO_LONG if _is_unread(body) else content.prompt_of(content.loaded(body))


def _short(body: str) -> str:
    return f"CASE WHEN length({body}) < {MAX_ANSWER} THEN {body} ELSE substr({body}, 1, 0) END"


def _answer(response: bytes | None) -> str | TooLong:
    return TOO_LONG if _is_unread(response) else content.answer_of(content.loaded(response))


def _same(value: Any) -> Any:
    return value


def _rated(column: str) -> str:
    return f"(SELECT g.{column} FROM rated_answer g WHERE g.job_id = r.job_id AND g.idx = r.idx)"


def _score(hundredths: int | None) -> int | float | None:
    return hundredths and (hundredths // 100 if hundredths % 100 == 0 else hundredths / 100)


def _text(text: str | None) -> str | None:
    return text or None


_OURS = {
    "custom_id": Source("r.custom_id", _same, False),
    PROMPT: Source(_short("r.body"), _prompt, False),
    "answer": Source(_SHORT_ANSWER, _answer),
    "outcome": Source("coalesce(x.outcome, x.status)", _same),
    "cost": Source("x.cost_nano", _same),
    "latency": Source("x.latency_ms", _same),
    "first_token": Source("x.first_token_ms", _same),
    "tokens_in": Source("x.input_tokens", _same),
    "tokens_out": Source("x.output_tokens", _same),
    "config": Source("x.config", _same),
    "model": Source("x.model", _same),
    "attempts": Source("x.attempts", _same),
    "started": Source("x.started_at", _same),
    "finished": Source("x.finished_at", _same),
    "code": Source("x.http_status", _same),
    "finish_reason": Source("x.finish_reason", _same),
    "service_tier": Source("x.service_tier", _same),
    "rating": Source(_rated("score"), _score),
    "labels": Source(_rated("labels"), _text),
    "note": Source(_rated("note"), _text),
}
# columns whose results have an index in the database (models.Result)
INDEXED = {"latency": "latency_ms", "tokens_out": "output_tokens", "finished": "finished_at"}


class Columns:
    """The columns of one job, by name, in the order in which a grid offers them."""

    def __init__(self, job: Job):
        self.sources: dict[str, Source] = dict(_OURS)
        if job.overrides:  # what was sent last, which changes with the result
            self.sources[PROMPT] = Source(_short(_SENT), _prompt)
        self.by_name: dict[str, Column] = {}
        header = _header(job.header) if job.header else []
        names = [entry if isinstance(entry, str) else entry[0] for entry in header]
        self._add_cells(names)
        if not names:
            self._add(PROMPT, PROMPT)
        self._add("answer", "answer")
        if job.schema:
            self._add_fields("fields", _FITTING, _schema(job.schema), FIELD)
        for reader in _readers(job):
            sql = _SCORED.format(most=MAX_ANSWER, job=int(reader.id))
            place = f"{SCORED}{reader.id}."
            self._add_fields(place, sql, _schema(reader.schema), place, reader.id)
        for name in _OURS:
            self._add(name, name)

    def _add(self, name: str, source: str, pick: Callable[[Any], Any] = _same) -> None:
        self.by_name.setdefault(name, Column(name, source, pick))

    def _add_cells(self, names: Sequence[str]) -> None:
        self.sources["cells"] = Source("r.cells", _cells, False)
        for place, name in enumerate(names):
            self._add(f"{CELL}{name}", "cells", _at(place))

    def _add_fields(
        self, source: str, sql: str, schema: "Schema", mark: str, follows: int | None = None
    ) -> None:
        def fields(response: bytes | None) -> dict | TooLong:
            if _is_unread(response):
                return TOO_LONG
            found = schema.json_of(response) if response else None
            return found.value if found is not None and isinstance(found.value, dict) else {}

        self.sources[source] = Source(sql, fields, follows=follows)
        for name in schema.columns:
            self._add(f"{mark}{name}", source, _named(name))

    def __contains__(self, name: str) -> bool:
        return name in self.by_name

    @property
    def own(self) -> list[str]:
        """Names of the columns of the user's table and of the fields of the schema."""
        return [name for name in self.by_name if name.startswith((CELL, FIELD))]

    @property
    def valued(self) -> list[str]:
        """The same, and those of jobs that read the answers."""
        return [name for name in self.by_name if name.startswith((CELL, FIELD, SCORED))]

    @property
    def filtered(self) -> list[str]:
        """Names of the columns that conditions are possible on."""
        return [*self.valued, *TEXTS, *FIGURES, *RATED, *FILTERED]

    def source_of(self, name: str) -> Source:
        return self.sources[self.by_name[name].source]

    def value(self, name: str, raw: Any) -> Any:
        """The value of a column of what its source's SQL selected."""
        return self.by_name[name].pick(self.source_of(name).decode(raw))


def _readers(job: Job) -> list[Job]:
    """The jobs that read the answers of a job, for fields of a schema, as far as the caller sees them."""
    query = Job.select(Job.id, Job.schema).where(
        (Job.answers_of == job.id)
        & Job.schema.is_null(False)
        & Job.deleted_at.is_null()
        & visibility.jobs(identity.current().sees)
    )
    return list(query.order_by(Job.id.desc()))


def _at(place: int) -> Callable[[list], Any]:
    return lambda cells: cells[place] if place < len(cells) else None


def _named(name: str) -> Callable[[dict | TooLong], Any]:
    return lambda fields: fields if isinstance(fields, TooLong) else fields.get(name)


def text_of(value: Any) -> str:
    """A value as a text: whole numbers without a point, lists and objects as JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, TooLong):
        return "…"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict) and len(value) == 1 and ("at" in value or "json" in value):
        return text_of(value.get("at", value.get("json")))  # as cells are stored
    if isinstance(value, dict | list):
        return msgspec.json.encode(value).decode()
    if isinstance(value, float) and value.is_integer() and abs(value) <= 10**15:
        return str(int(value))
    return str(value)
