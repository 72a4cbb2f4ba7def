"""Tables in Parquet files, read batch by batch. pyarrow is loaded where a file needs it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from ..core.domain import Fault
from ..core.errors import UploadRejected
from ..core.messages import translatable
from ..core.settings import Settings
from .request_checks import TOO_LONG
from .source import refuse_bomb
from .table import Row, no_header

MAGIC = b"PAR1"
_BATCH = 1_000  # rows
_BATCH_BYTES = 64 << 20
_FEW = 16
_BUFFER = 1 << 20  # of a column's pages that are read at once
_UNFIT = re.compile(r"[\0\ud800-\udfff]")


class Parquet:
    """Iterate over it for ``Row | Fault``; rows are counted from 1. ``header`` names the type of each
    column too, so that an export can give it back.

    Raises UploadRejected or UploadTooLarge for a file that is damaged, encrypted or a bomb, that has
    nested columns or no rows.
    """

    format = "parquet"
    encoding = ""
    sheet = ""
    sheets: list[str] = []

    def __init__(self, file: BinaryIO, settings: Settings):
        self._longest = settings.MAX_REQUEST_BYTES
        with _in_words():
            import pyarrow
            from pyarrow import parquet

            self._arrow = pyarrow
            file.seek(0)
            metadata = parquet.read_metadata(file)
            groups = map(metadata.row_group, range(metadata.num_row_groups))
            unpacked = sum(group.total_byte_size for group in groups)
            refuse_bomb(unpacked, file.seek(0, 2), settings.MAX_UNPACKED_BYTES)
            self._schema = metadata.schema.to_arrow_schema()
            self.columns = self._checked()
            self._texts = [field.name for field in self._schema if _is_text(pyarrow, field.type)]
            self._file = parquet.ParquetFile(file, buffer_size=_BUFFER)
            self._coded = parquet.ParquetFile(
                file, read_dictionary=self._texts, buffer_size=_BUFFER
            )
        self.header = [
            (field.name.strip(), str(_plain(pyarrow, field.type))) for field in self._schema
        ]

    def __iter__(self) -> Iterator[Row | Fault]:
        if not self._file.metadata.num_rows:
            raise UploadRejected(translatable("The Parquet file has no rows."))
        line = 0
        for columns in self._batches():
            for values in zip(*columns, strict=True):
                line += 1
                yield self._row(line, values)

    def _batches(self) -> Iterator[list[list[Any]]]:
        for group in range(self._file.metadata.num_row_groups):
            with _in_words():
                batches = self._file.iter_batches(
                    self._rows_at_once(group), [group], use_threads=False
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
        first = next(self._coded.iter_batches(1, [group], self._texts, use_threads=False), None)
        longest = 1
        for column in first.columns if first is not None else ():
            texts = column.dictionary if hasattr(column, "dictionary") else column
            longest += max(
                map(len, texts.cast(self._arrow.large_binary()).drop_null().to_pylist()), default=0
            )
        return max(1, min(_BATCH, _BATCH_BYTES // longest))

    def _checked(self) -> list[str]:
        """The names of the columns."""
        for field in self._schema:
            if self._arrow.types.is_nested(_plain(self._arrow, field.type)):
                raise UploadRejected(
                    translatable(
                        "Column “%(name)s” is nested (%(type)s): a cell holds one value. Leave the "
                        "column out, or write it as text (for example as JSON).",
                        name=field.name,
                        type=field.type,
                    )
                )
        names = [field.name.strip() for field in self._schema]
        complaint = no_header(names) if names else "it names no columns."
        if complaint is not None:
            raise UploadRejected(
                translatable("The Parquet file's schema: %(complaint)s", complaint=complaint)
            )
        return names

    def _values(self, column: Any) -> list[Any]:
        """The column's values."""
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
    except ImportError as error:
        raise UploadRejected(
            translatable(
                "Parquet files need pyarrow, which cannot be loaded here (%(error)s): install "
                "it by “pip install -r requirements.txt”, or save the table as CSV.",
                error=error,
            )
        ) from None
    except Exception as error:  # pyarrow raises ArrowException, OSError, ValueError, KeyError, …
        why = str(error).split("\n", 1)[0][:200].rstrip(".")
        raise UploadRejected(
            translatable("The Parquet file is damaged or cannot be read: %(why)s.", why=why)
        ) from None
