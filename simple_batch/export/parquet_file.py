"""Parquet: a row group for every 10,000 rows. A user's columns have the types that they had in Parquet,
else texts; ours are int64, double (cost), string, and timestamp[ms, UTC]; vectors list<float32>."""

import re
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from datetime import time
from pathlib import Path

from .columns import CELL, FIELD, INTEGER, MONEY, NUMBER, TIME, VECTOR, VECTORS, Column, Table
from .rows import Row
from .temporary_file import import_lazily, run_in_thread, spooled

GROUP_ROWS = 10_000
GROUP_BYTES = 64 << 20  # of texts and vectors: long ones make smaller groups
_TIMESTAMP = re.compile(r"timestamp\[(s|ms|us|ns)(?:, tz=(.+))?\]")
_DECIMAL = re.compile(r"decimal(?:32|64|128|256)\((\d+), (-?\d+)\)")
_ALIASED = frozenset(
    {"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"}
    | {"float", "double", "date32[day]", "time32[s]", "time32[ms]", "time64[us]"}
)


def as_parquet(rows: Iterable[Row], table: Table) -> Iterator[bytes]:
    return spooled(lambda path: _write(path, rows, table))


def _write(path: Path, rows: Iterable[Row], table: Table) -> None:
    pyarrow, parquet = import_lazily("pyarrow"), import_lazily("pyarrow.parquet")
    types = [_type(pyarrow, column) for column in table.columns]
    names = [_clean(column.name) for column in table.columns]
    schema = pyarrow.schema(list(zip(names, types, strict=True)))
    with parquet.ParquetWriter(path, schema) as writer:
        for group in _groups(rows, table):
            run_in_thread(_write_group, pyarrow, writer, schema, table, group)


def _groups(rows: Iterable[Row], table: Table) -> Iterator[list[list]]:
    group: list[list] = []
    size = 0
    for row in rows:
        values = table.values(row)
        group.append(values)
        size += sum(map(_size, values))
        if len(group) == GROUP_ROWS or size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _size(value) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, array):
        return 4 * len(value)
    return sum(map(_size, value)) if isinstance(value, list) else 8


def _write_group(arrow, writer, schema, table: Table, group: list[list]) -> None:
    made = [
        _array(arrow, field.type, column, values, table)
        for field, column, values in zip(
            schema, table.columns, zip(*group, strict=True), strict=True
        )
    ]
    writer.write_table(arrow.Table.from_arrays(made, schema=schema))


def _array(arrow, kind, column: Column, values: Sequence, table: Table):
    if column.kind == VECTOR:
        return _lists(arrow, values)
    if column.kind == VECTORS:
        flat = [vector for vectors in values for vector in vectors or ()]
        return arrow.ListArray.from_arrays(_offsets(arrow, values), _lists(arrow, flat))
    if column.kind == TIME:
        return arrow.array(values, arrow.int64()).cast(kind)
    if column.kind == FIELD and not arrow.types.is_string(kind):
        return arrow.array([_fitting(value, column.type) for value in values], kind)
    if not arrow.types.is_string(kind):
        return _typed(arrow, kind, values)
    if column.kind in (CELL, FIELD):
        # a cell of a CSV is empty and not missing; other tables tell these apart
        values = [None if value is None else table.text_of(value) for value in values]
    return arrow.array([None if value is None else _clean(value) for value in values], kind)


def _typed(arrow, kind, values: Sequence):
    """Numbers as they are; dates, times and decimals from their texts."""
    if all(value is None or not isinstance(value, str) for value in values):
        return arrow.array(values, kind)
    if arrow.types.is_time(kind):  # arrow reads no texts of these
        return arrow.array([value and time.fromisoformat(value) for value in values], kind)
    texts = arrow.array([None if value is None else str(value) for value in values], arrow.string())
    if arrow.types.is_timestamp(kind):  # the texts are of microseconds, whatever the unit
        texts = texts.cast(arrow.timestamp("us", kind.tz))
    return texts.cast(kind)


def _fitting(value, of: str):
    """A field as its type has it; None for a whole number of more than 64 bits."""
    if value is None or of == "boolean":
        return value
    if of == "number":
        return float(value) if abs(value) <= sys.float_info.max else None
    return int(value) if -(2**63) <= value < 2**63 else None


def _lists(arrow, vectors):
    flat = array("f")
    for vector in vectors:
        flat.extend(vector or ())
    floats = arrow.Array.from_buffers(
        arrow.float32(), len(flat), [None, arrow.py_buffer(flat.tobytes())]
    )
    return arrow.ListArray.from_arrays(_offsets(arrow, vectors), floats)


def _offsets(arrow, lists):
    """Where each list begins; None for one that is missing."""
    offsets, end = [], 0
    for found in lists:
        offsets.append(None if found is None else end)
        end += len(found or ())
    return arrow.array([*offsets, end], arrow.int32())


def _type(arrow, column: Column):
    ours = {
        INTEGER: arrow.int64(),
        NUMBER: arrow.float64(),
        MONEY: arrow.float64(),
        TIME: arrow.timestamp("ms", "UTC"),
        VECTOR: arrow.list_(arrow.float32()),
        VECTORS: arrow.list_(arrow.list_(arrow.float32())),
    }
    if column.kind == FIELD:
        kinds = {"integer": "int64", "number": "double", "boolean": "bool"}
        return arrow.type_for_alias(kinds.get(column.type, "string"))
    if column.kind != CELL:
        return ours.get(column.kind, arrow.string())
    if column.type in _ALIASED:
        return arrow.type_for_alias(column.type)
    if found := _TIMESTAMP.fullmatch(column.type):
        return arrow.timestamp(*found.groups())
    if found := _DECIMAL.fullmatch(column.type):
        digits, scale = map(int, found.groups())
        return (arrow.decimal128 if digits <= 38 else arrow.decimal256)(digits, scale)
    return arrow.string()


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode() if not text.isascii() else text
