"""The column of a table that names its requests by default: one with a usual name, whose values do not
repeat in the whole file."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..core.clock import give_way
from ..core.settings import Settings
from .reader import Reader
from .reading import Reading
from .request_checks import MAX_CUSTOM_ID
from .table import Row

_NAMES = (
    *("custom_id", "id", "_id", "uuid", "guid", "key", "identifier", "request_id", "row_id"),
    *("record_id", "item_id", "编号", "编码", "序号", "主键", "标识", "标识符"),
)
_GROUP = 500  # values that are looked up together


class Repeated(NamedTuple):
    """The first value that comes twice, or is no id, and the row where it does (from 1)."""

    value: str
    row: int


def candidate(columns: Sequence[str]) -> str | None:
    """The column that has a name of an id."""
    folded = {column.casefold().replace(" ", "_"): column for column in reversed(columns)}
    return next((folded[name] for name in _NAMES if name in folded), None)


class UniqueValues:
    """Says whether values repeat. They are kept in a private temporary database that SQLite spills to disk:
    flat memory for millions of them."""

    def __init__(self) -> None:
        self.repeated: Repeated | None = None
        self._group: list[tuple[str, int]] = []
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -8000;"
            "CREATE TABLE seen (value TEXT PRIMARY KEY, row INTEGER) WITHOUT ROWID; BEGIN;"
        )

    def add(self, value: str, row: int) -> None:
        """Look at one more value, unless one has repeated."""
        if self.repeated is not None:
            return
        value = value.strip()
        if not value or len(value) > MAX_CUSTOM_ID:
            self._look_up()
            self.repeated = self.repeated or Repeated(value[:80], row)
            return
        self._group.append((value, row))
        if len(self._group) == _GROUP:
            self._look_up()

    def close(self) -> Repeated | None:
        """The first value that repeats; None where none does."""
        self._look_up()
        self._database.close()
        return self.repeated

    def _look_up(self) -> None:
        group, self._group = self._group, []
        if self.repeated is not None:
            return
        before = self._database.total_changes
        self._database.executemany("INSERT OR IGNORE INTO seen VALUES (?, ?)", group)
        if self._database.total_changes - before == len(group):
            return
        find = "SELECT row FROM seen WHERE value = ?"
        for value, row in group:
            if self._database.execute(find, (value,)).fetchone() != (row,):
                self.repeated = Repeated(value[:80], row)
                return


def unique_id(
    path: Path, settings: Settings, sheet: str, reading: Reading
) -> tuple[str, Repeated | None] | None:
    """The column of a table with a name of an id, and where its values repeat; None without such a
    column. Raises UploadRejected."""
    reader = Reader(path, settings, unique=False, sheet=sheet, reading=reading)
    try:
        table = reader.table()
        name = candidate(table.columns)
        if name is None:
            return None
        place, values = table.columns.index(name), UniqueValues()
        for number, row in enumerate(table, 1):
            if isinstance(row, Row):
                values.add(row.cells[place], number)
            if values.repeated is not None:
                break
            if number % _GROUP == 0:
                give_way()
        return name, values.close()
    finally:
        reader.close()
