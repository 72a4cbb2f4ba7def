"""Tables in Parquet files, read batch by batch. pyarrow is loaded where a file needs it."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from ..core import extras
from ..core.domain import Fault
from ..core.errors import MissingPackage, UploadRejected
from ..core.messages import Message, translatable
from ..core.settings import Settings
from ..core.stored_messages import LEFT_OUT_BYTES, LEFT_OUT_PANDAS_INDEX, LEFT_OUT_UNNAMED
from .damage import of_parquet
from .parquet_nested import Json, holds_bytes, is_conversation, leaf_paths, values
from .request_checks import TOO_LONG
from .source import refuse_bomb
from .table import Row, no_header
from .table_columns import Columns, nested_note

MAGIC = b"PAR1"
_BATCH = 1_000  # rows
_BATCH_BYTES = 64 << 20
_FEW = 16
_BUFFER = 1 << 20  # of a column's pages that are read at once
_PANDAS_INDEX = re.compile(r"__index_level_\d+__")
_UNFIT = re.compile(r"[\0\ud800-\udfff]")


class Parquet:
    """Iterate over it for ``Row | Fault``; rows are counted from 1. ``header`` names the type of each
    column too, so that an export can give it back.

    A cell of a nested column is the JSON of its value. Raises UploadRejected or UploadTooLarge for a file
    that is damaged, encrypted or a bomb, or has no rows.
    """

    format = "parquet"
    encoding = ""
    sheet = ""
    sheets: list[str] = []

    def __init__(self, file: BinaryIO, settings: Settings):
        self._longest = settings.MAX_REQUEST_BYTES
        with _in_words():
            pyarrow, parquet = extras.load("pyarrow"), extras.load("pyarrow.parquet")
            self._arrow = pyarrow
            file.seek(0)
            metadata = parquet.read_metadata(file)
            groups = map(metadata.row_group, range(metadata.num_row_groups))
            unpacked = sum(group.total_byte_size for group in groups)
            refuse_bomb(unpacked, file.seek(0, 2), settings.MAX_UNPACKED_BYTES)
            self._schema = metadata.schema.to_arrow_schema()
            self._found = self._checked(file)
            self.columns, self.notes = self._found.names, self._found.notes
            kinds = {
                name: self._schema.field(place).type
                for name, place in zip(self.columns, self._found.places, strict=True)
            }
            self.nested = [name for name, kind in kinds.items() if _is_nested(pyarrow, kind)]
            if self.nested:
                self.notes.append(nested_note(self.nested))
            self.conversations = [
                name for name, kind in kinds.items() if is_conversation(pyarrow, kind)
            ]
            used = [self._schema.field(place) for place in self._found.places]
            self._read = None if self._found.is_whole else [field.name for field in used]
            self._texts = [field.name for field in used if _is_text(pyarrow, field.type)]
            leaves = leaf_paths(
                metadata, {field.name for field in used if _is_nested(pyarrow, field.type)}
            )
            self._file = parquet.ParquetFile(file, read_dictionary=leaves, buffer_size=_BUFFER)
            self._coded = parquet.ParquetFile(
                file, read_dictionary=self._texts, buffer_size=_BUFFER
            )
        self.header = [(name, str(_plain(pyarrow, kind))) for name, kind in kinds.items()]

    def __iter__(self) -> Iterator[Row | Fault]:
        if not self._file.metadata.num_rows:
            raise UploadRejected(translatable("The Parquet file has no rows."))
        line = 0
        for columns in self._batches():
            for cells in zip(*columns, strict=True):
                line += 1
                yield self._row(line, cells)

    def _batches(self) -> Iterator[list[Iterable[Any]]]:
        for group in range(self._file.metadata.num_row_groups):
            with _in_words():
                batches = self._file.iter_batches(
                    self._rows_at_once(group), [group], self._read, use_threads=False
                )
            while True:
                with _in_words():
                    batch = next(batches, None)
                    if batch is None:
                        break
                    columns = [self._values(column) for column in batch.columns]
                yield columns

    def _rows_at_once(self, group: int) -> int:
        """Number of rows whose texts fit into memory. A group may repeat a long dictionary text in every
        row, or begin each text with all of the one before."""
        row_group = self._file.metadata.row_group(group)
        chunks = [row_group.column(place) for place in range(row_group.num_columns)]
        if sum(chunk.total_uncompressed_size for chunk in chunks) * _BATCH <= _BATCH_BYTES:
            return _BATCH
        if any("DELTA_BYTE_ARRAY" in chunk.encodings for chunk in chunks):
            return _FEW
        nested = sum(c.total_uncompressed_size for c in chunks if "." in c.path_in_schema)
        usual = _BATCH_BYTES * row_group.num_rows // max(1, nested)
        first = next(self._coded.iter_batches(1, [group], self._texts, use_threads=False), None)
        longest = 1
        for column in first.columns if first is not None else ():
            texts = column.dictionary if hasattr(column, "dictionary") else column
            longest += max(
                map(len, texts.cast(self._arrow.large_binary()).drop_null().to_pylist()), default=0
            )
        return max(1, min(_BATCH, usual, _BATCH_BYTES // longest))

    def _checked(self, file: BinaryIO) -> Columns:
        """The columns that are used: all but pandas' index, and bytes that are no text."""
        left = {
            place: note
            for place, field in enumerate(self._schema)
            if (note := self._why_left_out(file, place, field)) is not None
        }
        names = [field.name for field in self._schema]
        found = Columns(names, [], no_header, left_out=left)
        if found.complaint is not None:
            raise UploadRejected(
                translatable("The Parquet file's schema: %(complaint)s", complaint=found.complaint)
            )
        return found

    def _why_left_out(self, file: BinaryIO, place: int, field: Any) -> Message | None:
        kind = _plain(self._arrow, field.type)
        if not field.name.strip():
            return LEFT_OUT_UNNAMED(number=place + 1)
        if _PANDAS_INDEX.fullmatch(field.name.strip()):
            return LEFT_OUT_PANDAS_INDEX(name=field.name)
        if self._arrow.types.is_nested(kind):
            unfit = holds_bytes(self._arrow, kind)
        else:
            unfit = _is_bytes(self._arrow, kind) and not self._is_utf8(file, field.name)
        return LEFT_OUT_BYTES(name=field.name) if unfit else None

    def _is_utf8(self, file: BinaryIO, name: str) -> bool:
        """Whether one of the first values of a column of bytes is a text, or none is there."""
        from pyarrow import parquet

        opened = parquet.ParquetFile(file, buffer_size=_BUFFER)
        batch = next(opened.iter_batches(_FEW, columns=[name], use_threads=False), None)
        found = [value for value in batch.column(0).to_pylist() if value] if batch else []
        return not found or any(map(_is_utf8, found))

    def _values(self, column: Any) -> Iterable[Any]:
        """The column's values."""
        if self._arrow.types.is_nested(column.type):
            return values(self._arrow, column, self._longest)
        if self._arrow.types.is_dictionary(column.type):
            used = column.indices.unique().drop_null()
            texts = dict(
                zip(used.to_pylist(), column.dictionary.take(used).to_pylist(), strict=True)
            )
            return [texts.get(index) for index in column.indices.to_pylist()]
        if self._arrow.types.is_temporal(column.type):
            return [_iso(value) for value in self._moments(column)]
        return column.to_pylist()

    def _moments(self, column: Any) -> list[Any]:
        """Timestamps, truncated to microseconds, Python's precision."""
        arrow, kind = self._arrow, column.type
        if arrow.types.is_timestamp(kind) and kind.unit == "ns":
            column = column.cast(arrow.timestamp("us", kind.tz), safe=False)
        elif arrow.types.is_time64(kind) and kind.unit == "ns":
            column = column.cast(arrow.time64("us"), safe=False)
        elif arrow.types.is_duration(kind) and kind.unit == "ns":
            column = column.cast(arrow.duration("us"), safe=False)
        return column.to_pylist()

    def _row(self, line: int, values: tuple[Any, ...]) -> Row | Fault:
        cells, kept, size = [], [], 0
        for name, value in zip(self.columns, values, strict=True):
            try:
                text, value = _cell(value)
            except ValueError as error:
                return Fault(
                    line,
                    "invalid_row",
                    translatable("column “%(name)s” %(what)s", name=name, what=error.args[0]),
                    unit="row",
                )
            size += len(text)
            cells.append(text)
            kept.append(value)
        if size > self._longest:
            return Fault(line, "invalid_row", TOO_LONG, unit="row")
        return Row(line, cells, kept, "row")


def _cell(value: object) -> tuple[str, object]:
    """(text, what comes back in an export). Raises ValueError saying what is wrong."""
    if value is None:
        return "", None
    if isinstance(value, ValueError):
        raise value
    if isinstance(value, Json):
        return str(value), value.kept
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            raise ValueError(translatable("holds bytes that are no text: leave it out.")) from None
    if isinstance(value, str):
        if _UNFIT.search(value):
            raise ValueError(translatable("holds a NUL character: remove it."))
        return value, value
    if isinstance(value, bool):
        return ("true", True) if value else ("false", False)
    if isinstance(value, int):
        return str(value), value
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            text = repr(value) if value == value else ""
            return text, text or None
        text = str(int(value)) if value.is_integer() and abs(value) <= 10**15 else repr(value)
        return text, value
    return str(value), str(value)  # a decimal


def _iso(value: Any) -> str | None:
    return (
        None if value is None else value.isoformat() if hasattr(value, "isoformat") else str(value)
    )


def _is_text(arrow: Any, kind: Any) -> bool:
    kind = _plain(arrow, kind)
    return any(
        is_(kind)
        for is_ in (
            arrow.types.is_string,
            arrow.types.is_large_string,
            arrow.types.is_binary,
            arrow.types.is_large_binary,
        )
    )


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_nested(arrow: Any, kind: Any) -> bool:
    return bool(arrow.types.is_nested(_plain(arrow, kind)))


def _is_bytes(arrow: Any, kind: Any) -> bool:
    types = arrow.types
    return any(
        f(kind) for f in (types.is_binary, types.is_large_binary, types.is_fixed_size_binary)
    )


def _plain(arrow: Any, kind: Any) -> Any:
    """The type of the values themselves."""
    return kind.value_type if arrow.types.is_dictionary(kind) else kind


@contextmanager
def _in_words() -> Iterator[None]:
    """What pyarrow complains about, as a rejection of the file."""
    try:
        yield
    except UploadRejected:
        raise
    except MissingPackage as error:
        raise UploadRejected(
            translatable("%(problem)s. Or save the table as CSV.", problem=error.text)
        ) from None
    except Exception as error:  # pyarrow raises ArrowException, OSError, ValueError, KeyError, …
        why = of_parquet(error)
        raise UploadRejected(
            translatable("The Parquet file is damaged or cannot be read: %(why)s.", why=why)
        ) from None
