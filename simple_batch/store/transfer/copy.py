"""All rows of one database into another, and the comparison of the two, row by row."""

import hashlib
from collections.abc import Callable, Iterable, Iterator

import msgspec

from .endpoints import Side, Table, refuses, suited, tables, telling

FIRST = 20  # differences, and rows with other texts, that are named
_STEP = 1_000  # rows after which progress is told


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
    changed: int  # rows with a text that was changed because PostgreSQL refuses it
    different: int  # rows that are not the same, are missing or are too many


Told = Callable[[int], None]  # called with the number of further rows done


def fill(source: Side, target: Side, told: Told) -> Noted:
    """Empty the target and write all rows of the source to it, in one transaction; returns which
    texts were changed. Raises DatabaseError, and has then changed nothing."""
    changed = Noted()
    every = tables()
    with telling(target.url), target.filling(every):
        for table in every:
            rows = _suiting(_read(source, table), table, changed)
            target.write(table, _told(rows, told))
            if table.numbered:
                with telling(source.url):
                    last = source.last_number(table)
                target.number_after(table, last)
    with telling(target.url):
        target.settle()
    return changed


def check(source: Side, target: Side, told: Told) -> tuple[list[Checked], Noted]:
    """Compare the two, row by row; returns what was found in each table, and the differences. Raises
    DatabaseError."""
    different = Noted()
    return [_check(source, target, table, different, told) for table in tables()], different


def _check(source: Side, target: Side, table: Table, different: Noted, told: Told) -> Checked:
    changed, before = Noted(), different.count
    digest, rows = hashlib.sha256(), 0

    def wanted() -> Iterator[tuple]:
        nonlocal rows
        for row in _suiting(_read(source, table), table, changed):
            rows += 1
            digest.update(_encoded(row))
            yield row

    for places in _differences(_told(wanted(), told), _read(target, table), table):
        different.add(places)
    return Checked(table.name, rows, digest.hexdigest(), changed.count, different.count - before)


_encoded = msgspec.msgpack.Encoder().encode


def _read(side: Side, table: Table) -> Iterator[tuple]:
    with telling(side.url):
        yield from side.rows(table)


def _told(rows: Iterable[tuple], told: Told) -> Iterator[tuple]:
    count = 0
    for row in rows:
        yield row
        count += 1
        if count == _STEP:
            told(count)
            count = 0
    told(count)


def _suiting(rows: Iterable[tuple], table: Table, changed: Noted) -> Iterator[tuple]:
    """The rows with texts that PostgreSQL takes, whatever database they go to: so copies can go on
    from one kind to the other."""
    texts = [place for place, name in enumerate(table.columns) if name in table.texts]
    if not texts:
        yield from rows
        return
    for row in rows:
        # one look at all texts of a row
        if refuses("".join([row[place] or "" for place in texts])):
            odd = [place for place in texts if row[place] and refuses(row[place])]
            new = tuple(suited(value) if n in odd else value for n, value in enumerate(row))
            changed.add([_place(table, new, n, "it has U+FFFD now") for n in odd])
            yield new
        else:
            yield row


def _differences(
    wanted: Iterator[tuple], found: Iterator[tuple], table: Table
) -> Iterator[list[Place]]:
    """Of each row that is not the same on both sides; both are in the order of their keys."""
    keys = [table.columns.index(name) for name in table.key]
    one, other = next(wanted, None), next(found, None)
    while one is not None or other is not None:
        if one == other:
            one, other = next(wanted, None), next(found, None)
            continue
        one_key = one and [one[place] for place in keys]
        other_key = other and [other[place] for place in keys]
        if one_key == other_key:
            yield [
                _place(table, one, n, "it differs") for n in range(len(one)) if one[n] != other[n]
            ]
            one, other = next(wanted, None), next(found, None)
        elif other is None or (one is not None and one_key < other_key):
            yield [_place(table, one, None, "the row is missing")]
            one = next(wanted, None)
        else:
            yield [_place(table, other, None, "the row is one too many")]
            other = next(found, None)


def _place(table: Table, row: tuple, column: int | None, what: str) -> Place:
    key = {name: row[table.columns.index(name)] for name in table.key}
    return Place(table.name, key, "" if column is None else table.columns[column], what)
