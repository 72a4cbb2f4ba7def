"""Which columns the table of a job has, for CSV, XLSX and Parquet alike.

For a job made from a table: the table's own columns first, in their order, then the answer, then the
other columns of the export. For any other job: the columns of the export. The fields of a schema follow the answer.
"""

from array import array
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Sequence

import msgspec

from ..core import content
from ..core.domain import EMBEDDINGS
from ..store.models import Job
from ..store.ratings import shown_score
from .rows import Row
from .structured_columns import Fields

CELL = "cell"  # of the user's table: whatever it was
TEXT, INTEGER, NUMBER, MONEY, TIME = "text", "integer", "number", "money", "time"
FIELD = "field"  # of an answer that fits a schema: text, number or boolean; "type" is the schema's
VECTOR, VECTORS = "vector", "vectors"  # float32, packed
_header = msgspec.json.Decoder(list[str | tuple[str, str]]).decode
_cells = msgspec.json.Decoder(list).decode


class Column(msgspec.Struct, frozen=True):
    """A column: its name in the file, its kind, and the type that a user's column had in Parquet, or
    that a schema gives a field."""

    name: str
    kind: str
    type: str = ""


class _Ours(msgspec.Struct, frozen=True):
    name: str
    kind: str
    of: Callable[[Row], object]
    yields: bool = False  # a field of the schema keeps the name


OURS = (
    _Ours("index", INTEGER, lambda row: row.index),
    _Ours("custom_id", TEXT, lambda row: row.custom_id),
    _Ours("status", TEXT, lambda row: row.status or "pending"),
    _Ours("prompt", TEXT, lambda row: content.prompt_of(content.loaded(row.body))),
    _Ours("content", TEXT, lambda row: content.answer_of(content.loaded(row.response))),
    _Ours("outcome", TEXT, lambda row: row.outcome, yields=True),
    _Ours("finish_reason", TEXT, lambda row: row.finish_reason, yields=True),
    _Ours("reasoning", TEXT, lambda row: row.reasoning, yields=True),
    _Ours("error_cause", TEXT, lambda row: row.cause),
    _Ours("error_message", TEXT, lambda row: row.message if row.cause else None),
    _Ours("http_status", INTEGER, lambda row: row.http_status),
    _Ours("model", TEXT, lambda row: row.model),
    _Ours("config", TEXT, lambda row: row.config),
    _Ours("attempts", INTEGER, lambda row: row.attempts or 0),
    _Ours("latency_ms", INTEGER, lambda row: row.latency_ms),
    _Ours("input_tokens", INTEGER, lambda row: row.input_tokens),
    _Ours("output_tokens", INTEGER, lambda row: row.output_tokens),
    _Ours("cost", MONEY, lambda row: row.cost),
    _Ours("currency", TEXT, lambda row: None if row.cost_nano is None else row.currency),
    _Ours("started_at", TIME, lambda row: row.started_at),
    _Ours("finished_at", TIME, lambda row: row.finished_at),
    _Ours("usage_estimated", INTEGER, lambda row: row.estimated),
    _Ours("service_tier", TEXT, lambda row: row.service_tier, yields=True),
    _Ours("first_token_ms", INTEGER, lambda row: row.first_token_ms, yields=True),
)
VECTOR_COLUMNS = (
    _Ours("embedding", VECTOR, lambda row: _one(_vectors(row))),
    _Ours("embeddings", VECTORS, lambda row: _several(_vectors(row))),
)


RATING_COLUMNS = (
    _Ours("rating", NUMBER, lambda row: shown_score(row.rated and row.rated[0]), yields=True),
    _Ours("rating_labels", TEXT, lambda row: (row.rated and row.rated[1]) or None, yields=True),
    _Ours("rating_note", TEXT, lambda row: (row.rated and row.rated[2]) or None, yields=True),
    _Ours("rating_users", INTEGER, lambda row: len(row.ratings) or None, yields=True),
)


class Table:
    """The columns of a file: those of the table that a job was made from (``header``), ours, and
    behind the answer the ``fields`` of a schema. Of two columns of one name the user's keeps it, then
    ours, less those that yield. ``capitals`` where truth values are TRUE and FALSE."""

    def __init__(
        self,
        header: Sequence[str | tuple[str, str]] = (),
        fields: Fields | None = None,
        more: tuple[_Ours, ...] = (),
        capitals: bool = False,
    ):
        self.fields = fields
        self._has_ratings = RATING_COLUMNS[0] in more
        self.capitals = capitals
        self._theirs = [
            Column(entry, CELL) if isinstance(entry, str) else Column(entry[0], CELL, entry[1])
            for entry in header
        ]
        ours = [*OURS, *more]
        if header:
            ours.sort(key=lambda column: column.name != "content")
        split = 1 + next(place for place, one in enumerate(ours) if one.name == "content")
        self._before = [one.of for one in ours[:split]]
        self._behind = [one.of for one in ours[split:]]
        taken = [column.name for column in self._theirs]
        names, types = (fields.names, fields.types) if fields is not None else ([], {})
        named = [
            Column(_free(one.name, [*taken, *names] if one.yields else taken), one.kind)
            for one in ours
        ]
        parsed: list[Column] = []
        for name in names:
            free = _free(name, [column.name for column in (*self._theirs, *named, *parsed)])
            parsed.append(Column(free, FIELD, types.get(name, "")))
        self.columns = [*self._theirs, *named[:split], *parsed, *named[split:]]
        before = [one.name for one in ours[:split]]
        behind = [one.name for one in ours[split:]]
        self._ours = [*before, *("" for _ in parsed), *behind]

    @classmethod
    def of(cls, job: Job, vectors: bool = False, with_ratings: bool = False) -> "Table":
        """The table of a job; ``vectors`` where the format can hold those of embeddings."""
        header = _header(job.header) if job.header else []
        more: tuple[_Ours, ...] = VECTOR_COLUMNS if vectors and job.endpoint == EMBEDDINGS else ()
        more += RATING_COLUMNS if with_ratings else ()
        return cls(header, Fields.of(job), more, job.source_format == "xlsx")

    def values(self, row: Row) -> list:
        """The values of a row, in the order of the columns; None where one is missing. Times are epoch ms,
        money is in units of the currency."""
        fields = self.fields.values(row) if self.fields is not None else ()
        before = [of(row) for of in self._before]
        return [*self.cells(row), *before, *fields, *(of(row) for of in self._behind)]

    def place_of(self, name: str) -> int:
        """The place among the columns of one of ours, whatever it is called there."""
        return len(self._theirs) + self._ours.index(name)

    @property
    def has_ratings(self) -> bool:
        """Whether the file has the ratings of answers."""
        return self._has_ratings

    @property
    def own_names(self) -> list[str]:
        """Names of the columns of the user's table."""
        return [column.name for column in self._theirs]

    def cells(self, row: Row) -> list:
        """The user's own cells: texts, numbers, truth values, None, {"at": ISO text} for a date, {"json":
        value} for a list or an object."""
        if not row.cells:
            return [None] * len(self._theirs)
        return _cells(bytes(row.cells))

    def named_cells(self, row: Row) -> dict:
        """The same by column, dates as texts."""
        names = (column.name for column in self._theirs)
        return {
            name: cell.get("at", cell.get("json")) if isinstance(cell, dict) else cell
            for name, cell in zip(names, self.cells(row), strict=True)
        }

    def text_of(self, cell) -> str:
        """A user's cell as a text."""
        if cell is None:
            return ""
        if isinstance(cell, bool):
            text = "true" if cell else "false"
            return text.upper() if self.capitals else text
        if isinstance(cell, dict):
            return cell["at"] if "at" in cell else msgspec.json.encode(cell["json"]).decode()
        if isinstance(cell, float) and cell.is_integer() and abs(cell) <= 10**15:
            return str(int(cell))
        return str(cell)


def _free(name: str, taken: list[str]) -> str:
    while name in taken:
        name = f"result_{name}"
    return name


def _one(vectors: list) -> array | None:
    return vectors[0] if len(vectors) == 1 else None


def _several(vectors: list) -> list[array] | None:
    return vectors if len(vectors) > 1 else None


def _vectors(row: Row) -> list[array]:
    """The vectors of an answer, in the order of their inputs."""
    if row.status != "succeeded" or not row.response:
        return []
    try:
        data = content.loaded(row.response)["data"]
        data = sorted(data, key=lambda item: item.get("index") or 0)
        return [_vector(item["embedding"]) for item in content.with_breaks(data, 1)]
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, Base64Error):
        return []


def _vector(found) -> array:
    """Floats, given as a list or as the base64 of float32, little-endian."""
    if not isinstance(found, str):
        return array("f", found)
    vector = array("f", b64decode(found, validate=True))
    if array("H", b"\1\0")[0] != 1:
        vector.byteswap()
    return vector
