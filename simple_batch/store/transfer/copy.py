"""All rows of one database into another, and the comparison of the two, row by row."""

import hashlib
from collections.abc import Callable, Iterable, Iterator

import msgspec

from ..backends import is_storable, storable
from .endpoints import Endpoint, Table, database_errors, tables

FIRST = 20  # differences, and rows with other texts, that are named
_STEP = 1_000  # rows after which progress is reported


class Place(msgspec.Struct, frozen=True):
    """A value of a row: its table, the row's key by columns, its column (empty: the whole row)."""

    table: str
    key: dict[str, int | str]
    column: str
    what: str

    def __str__(self) -> str:
        key = ", ".join(f"{name} {value}" for name, value in self.key.items())
        return f"{self.table} ({key}) {self.column}".rstrip() + f": {self.what}"


class Noted:
    """Places: the first of them, and how many rows there are."""

    def __init__(self):
        self.first: list[Place] = []
        self.count = 0

    def add(self, places: list[Place]) -> None:
        self.count += 1
        self.first += places[: FIRST - len(self.first)]


class Checked(msgspec.Struct, frozen=True):
    """A table as both sides have it. ``digest``: SHA-256 of its rows as they were to be written."""

    table: str
    rows: int
    digest: str
    changed: int  # rows with a text that was changed because PostgreSQL is_unstorable it
    different: int  # rows that are not the same, are missing or are too many


OnProgress = Callable[[int], None]  # called with the number of further rows done


def fill(source: Endpoint, target: Endpoint, on_progress: OnProgress) -> Noted:
    """Empty the target and write all rows of the source to it, in one transaction; returns which
    texts were changed. Raises DatabaseError, and has then changed nothing."""
    changed = Noted()
    every = tables()
    with database_errors(target.url), target.filling(every):
        for table in every:
            rows = _storable_rows(_read(source, table), table, changed)
            target.write(table, _with_progress(rows, on_progress))
            if table.numbered:
                with database_errors(source.url):
                    last = source.last_number(table)
                target.number_after(table, last)
    with database_errors(target.url):
        target.settle()
    return changed


def check(
    source: Endpoint, target: Endpoint, on_progress: OnProgress
) -> tuple[list[Checked], Noted]:
    """Compare the two, row by row; returns what was found in each table, and the differences. Raises
    DatabaseError."""
    different = Noted()
    return [_check(source, target, table, different, on_progress) for table in tables()], different


def _check(
    source: Endpoint, target: Endpoint, table: Table, different: Noted, on_progress: OnProgress
) -> Checked:
    changed, before = Noted(), different.count
    digest, rows = hashlib.sha256(), 0

    def expected() -> Iterator[tuple]:
        nonlocal rows
        for row in _storable_rows(_read(source, table), table, changed):
            rows += 1
            digest.update(_encoded(row))
            yield row

    for places in _differences(
        _with_progress(expected(), on_progress), _read(target, table), table
    ):
        different.add(places)
    return Checked(table.name, rows, digest.hexdigest(), changed.count, different.count - before)


_encoded = msgspec.msgpack.Encoder().encode


def _read(side: Endpoint, table: Table) -> Iterator[tuple]:
    with database_errors(side.url):
        yield from side.rows(table)


def _with_progress(rows: Iterable[tuple], on_progress: OnProgress) -> Iterator[tuple]:
    count = 0
    for row in rows:
        yield row
        count += 1
        if count == _STEP:
            on_progress(count)
            count = 0
    on_progress(count)


def _storable_rows(rows: Iterable[tuple], table: Table, changed: Noted) -> Iterator[tuple]:
    """The rows with texts that PostgreSQL takes, whatever database they go to: so copies can go on
    from one kind to the other."""
    texts = [place for place, name in enumerate(table.columns) if name in table.texts]
    if not texts:
        yield from rows
        return
    for row in rows:
        # one look at all texts of a row
        if not is_storable("".join([row[place] or "" for place in texts])):
            odd = [place for place in texts if row[place] and not is_storable(row[place])]
            new = tuple(storable(value) if n in odd else value for n, value in enumerate(row))
            changed.add([_place(table, new, n, "it has U+FFFD now") for n in odd])
            yield new
        else:
            yield row


def _differences(
    expected: Iterator[tuple], found: Iterator[tuple], table: Table
) -> Iterator[list[Place]]:
    """Of each row that is not the same on both sides; both are in the order of their keys."""
    places = [table.columns.index(name) for name in table.key]

    def key_of(row: tuple) -> list:
        return [row[place] for place in places]

    one, other = next(expected, None), next(found, None)
    while one is not None or other is not None:
        if one == other:
            one, other = next(expected, None), next(found, None)
        elif one is not None and (other is None or key_of(one) < key_of(other)):
            yield [_place(table, one, None, "the row is missing")]
            one = next(expected, None)
        elif other is not None and (one is None or key_of(other) < key_of(one)):
            yield [_place(table, other, None, "the row is one too many")]
            other = next(found, None)
        elif one is not None and other is not None:
            yield [
                _place(table, one, n, "it differs") for n in range(len(one)) if one[n] != other[n]
            ]
            one, other = next(expected, None), next(found, None)


def _place(table: Table, row: tuple, column: int | None, what: str) -> Place:
    key = {name: row[table.columns.index(name)] for name in table.key}
    return Place(table.name, key, "" if column is None else table.columns[column], what)
