"""export-job."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import click

from .. import export
from ..auth import audit_log
from ..core.domain import Outcome
from ..core.errors import InvalidInput, SimpleBatchError
from ..core.messages import listed, translatable
from ..core.terminal import shown_pieces
from ..services import jobs
from ..store.request_filter import RequestFilter
from .base import command, say

_BY_NAME = ("json", "jsonl", "csv", "xlsx", "parquet")  # a file name's end says so


@command("export-job")
@click.argument("job_id", type=int)
@click.option("-o", "--output", help="A file, or - for standard output.")
@click.option("--format", "form", type=click.Choice(export.FORMATS))
@click.option("--only", type=click.Choice(export.ONLY), default="all", show_default=True)
@click.option(
    "--outcome",
    type=click.Choice([outcome.value for outcome in Outcome]),
    help="Only requests with such answers.",
)
@click.option(
    "--raw-cells", is_flag=True, help="CSV: do not put ' before cells that look like formulas."
)
@click.option(
    "--ratings/--no-ratings",
    "with_ratings",
    default=None,
    help="Write the ratings of answers. Without it they are written if there are any (not with openai).",
)
def export_job(job_id, output, form, only, outcome, raw_cells, with_ratings):
    """Write a job's results in input order. The job may still be running."""
    job = jobs.get(job_id)
    form = form or (format_for(output) if output and output != "-" else "jsonl")
    if raw_cells and form != "csv":
        raise click.UsageError(
            "--raw-cells is for CSV: other formats have their cells as they are."
        )
    wanted = RequestFilter(outcome=outcome)
    audit_log.note("job.export", f"job {job_id}", listed((form, translatable(only))))
    if output == "-":
        if form in export.BINARY and sys.stdout.isatty():
            raise InvalidInput(f"{form} is not for a terminal: write it to a file (-o FILE).")
        pieces = export.export(job_id, form, only, wanted, raw_cells, with_ratings=with_ratings)
        write_out(pieces, form)
        return
    output = output or export.filename(job, form, outcome or only)
    write_file(job_id, output, form, only, wanted, raw_cells, with_ratings)
    say(f"Wrote {output}")


def write_out(pieces: Iterable[bytes], form: str) -> None:
    """Write to standard output unchanged; on a terminal, escape control characters."""
    if sys.stdout.isatty():
        for text in shown_pieces(pieces, is_json=form != "csv"):
            sys.stdout.write(text)
    else:
        for piece in pieces:
            sys.stdout.buffer.write(piece)
    sys.stdout.flush()


def format_for(output: str) -> str:
    """The format that a file name asks for."""
    suffix = Path(output).suffix.lower().removeprefix(".")
    if suffix in _BY_NAME:
        return suffix
    ends = ", ".join(f".{name}" for name in _BY_NAME)
    raise InvalidInput(f"{output}: end the name in one of {ends}, or give --format.")


def write_file(
    job_id: int,
    output: str,
    form: str,
    only: str,
    wanted: RequestFilter | None = None,
    raw_cells: bool = False,
    with_ratings: bool | None = None,
) -> None:
    """Write to a temporary file first, so that the target is never half written."""
    pieces = export.export(job_id, form, only, wanted, raw_cells, with_ratings=with_ratings)
    target = Path(output)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                for piece in pieces:
                    file.write(piece)
            Path(name).replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise
    except OSError as error:
        raise SimpleBatchError(f"{output} cannot be written: {error.strerror}.") from error


COMMANDS = (export_job,)
