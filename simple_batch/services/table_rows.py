"""The rows of the table that a job was made from, as they are stored with its requests."""

import csv
import io
from collections.abc import Iterable, Iterator

from ..export.columns import Table
from ..export.rows import Row
from ..intake import Reading
from ..store import requests as request_rows
from ..store.models import Job

READING = Reading("utf-8", header=True, lines=False)  # of ``as_csv``


def are_stored(job: Job) -> bool:
    """Whether the cells of its requests are stored, and how they are called."""
    return bool(job.template and job.header and request_rows.has_cells(job.id))


def as_csv(job: Job, rows: Iterable[Row]) -> Iterator[bytes]:
    """CSV in UTF-8 with a byte-order mark. Every cell is in quotes, so that only one delimiter is possible."""
    table = Table.of(job)
    buffer = io.StringIO()
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL)
    buffer.write("\ufeff")
    writer.writerow(table.own_names)
    for row in rows:
        writer.writerow([table.text_of(cell) for cell in table.cells(row)])
        yield buffer.getvalue().encode("utf-8", "replace")
        buffer.seek(0)
        buffer.truncate()
