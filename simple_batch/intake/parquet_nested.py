"""Values of nested Parquet columns (lists, structs, maps) as JSON, row by row.

The texts in them stay dictionary-coded until their row is converted: a file may repeat a long text in every
item of every list.
"""

from collections.abc import Iterator
from math import isinf
from typing import Any

import msgspec

from ..core.messages import translatable

_FREELY = 64 << 20  # bytes that all texts of a batch may come to before each row is measured


def _text(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


_encode = msgspec.json.Encoder(decimal_format="number", enc_hook=_text).encode


class Json(str):
    """The JSON of a value; ``raw`` is what is kept of it for an export."""

    @property
    def kept(self) -> dict[str, msgspec.Raw]:
        return {"json": msgspec.Raw(self.encode())}


def leaf_paths(metadata: Any, columns: set[str]) -> list[str]:
    """The paths of the texts within these columns, as Parquet names them."""
    if not metadata.num_row_groups:
        return []
    group = metadata.row_group(0)
    chunks = (group.column(place) for place in range(group.num_columns))
    return [
        chunk.path_in_schema
        for chunk in chunks
        if chunk.physical_type == "BYTE_ARRAY"
        and "." in chunk.path_in_schema
        and chunk.path_in_schema.split(".", 1)[0] in columns
    ]


def is_conversation(arrow: Any, kind: Any) -> bool:
    """Whether values of the type are lists of messages."""
    types = arrow.types
    if not (types.is_list(kind) or types.is_large_list(kind)):
        return False
    message = kind.value_type
    if not types.is_struct(message):
        return False
    names = {message.field(place).name for place in range(message.num_fields)}
    return {"role", "content"} <= names


def holds_bytes(arrow: Any, kind: Any) -> bool:
    """Whether a type has bytes within it."""
    types = arrow.types
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return True
    return any(holds_bytes(arrow, kind.field(place).type) for place in range(kind.num_fields))


def values(arrow: Any, column: Any, longest: int) -> Iterator[Json | ValueError | None]:
    """The JSON of each value of a batch's column, one at a time; a ValueError that says what is wrong in
    place of one that cannot be written or is longer than ``longest`` bytes."""
    talks = is_conversation(arrow, column.type)
    floats = _holds_floats(arrow, column.type)
    measured = sum(_most(leaf) for leaf in _leaves(arrow, column)) > _FREELY
    for place in range(len(column)):
        one = column.slice(place, 1)
        if measured and sum(_exact(arrow, leaf) for leaf in _leaves(arrow, one)) > longest:
            yield ValueError(translatable("is longer than SIMPLE_BATCH_MAX_REQUEST_BYTES allows."))
            continue
        try:
            (value,) = one.to_pylist(maps_as_pydicts="strict")
            if floats and _has_infinity(
                value
            ):  # msgspec writes null; for NaN that is what it means
                yield ValueError(translatable("holds an infinite number, which JSON cannot hold."))
                continue
            if talks and value is not None:
                value = [_without_nulls(message) for message in value]
            yield None if value is None else Json(_encode(value).decode())
        except Exception:  # a time that Python has not, a key of a map that comes twice, …
            yield ValueError(translatable("holds a value that JSON cannot hold: leave it out."))


def _holds_floats(arrow: Any, kind: Any) -> bool:
    if arrow.types.is_floating(kind):
        return True
    return any(_holds_floats(arrow, kind.field(place).type) for place in range(kind.num_fields))


def _has_infinity(value: Any) -> bool:
    if isinstance(value, float):
        return isinf(value)
    if isinstance(value, dict):
        return any(map(_has_infinity, value.values()))
    return isinstance(value, list) and any(map(_has_infinity, value))


def _without_nulls(message: dict[str, Any] | None) -> dict[str, Any] | None:
    """A message without the fields that only other messages have: a struct has all of them."""
    if message is None:
        return None
    return {name: it for name, it in message.items() if it is not None or name == "content"}


def _leaves(arrow: Any, array: Any) -> Iterator[Any]:
    """The arrays of texts within a nested one."""
    types, kind = arrow.types, array.type
    if types.is_map(kind):
        array = array.cast(arrow.list_(arrow.struct([("k", kind.key_type), ("v", kind.item_type)])))
        kind = array.type
    if types.is_struct(kind):
        for child in array.flatten():
            yield from _leaves(arrow, child)
    elif types.is_nested(kind) and hasattr(array, "flatten"):
        yield from _leaves(arrow, array.flatten())
    elif types.is_dictionary(kind) or types.is_string(kind) or types.is_large_string(kind):
        yield array


def _most(leaf: Any) -> int:
    """Bytes that its texts come to at most."""
    texts = getattr(leaf, "dictionary", None)
    return leaf.nbytes if texts is None else len(leaf) * texts.nbytes


def _exact(arrow: Any, leaf: Any) -> int:
    texts = getattr(leaf, "dictionary", None)
    if texts is None:
        return int(leaf.nbytes)
    from pyarrow import compute

    lengths = compute.binary_length(texts).take(leaf.indices)
    return int(compute.sum(lengths).as_py() or 0)
