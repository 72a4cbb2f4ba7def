"""The verb run: from a file to its answers in one line."""

import sys
from pathlib import Path

import click
import msgspec

from .. import export
from ..core.call_prices import in_units
from ..core.errors import InvalidInput, NotFound
from ..insight.summary import summary
from ..services import configs, estimate, job_creation, readings, row_subset, table_choices, uploads
from ..services.job_names import job_id_of
from ..services.job_options import JobOptions
from .base import ExitStatus, command, counted, put_json, say
from .export import format_for, write_file, write_out
from .options import job_options, new_job
from .run import run_here, to_run

_ENDED = (ExitStatus.DONE, ExitStatus.SOME_FAILED, ExitStatus.CANCELLED)


@command("run")
@click.argument("job", metavar="FILE")
@click.option("-p", "--prompt", metavar="TEXT", help="The user message, as 'Sort: {{ review }}'.")
@click.option("-s", "--system", metavar="TEXT", help="The system message, beside --prompt.")
@click.option("--config", metavar="NAME", help="Name of a connection; default: the only one.")
@click.option("--sample", type=click.IntRange(min=1), metavar="N", help="First send N random rows.")
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="Send only the first N rows."
)
@click.option("--dry-run", is_flag=True, help="Send nothing: only estimate tokens and cost.")
@job_options
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="Write the answers to this file (.csv, .xlsx, .json, .jsonl, .parquet), or - for "
    "standard output.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures of the job as JSON.")
def run_job(job, config, sample, limit, dry_run, output, as_json, images, yes, **fields):
    """Send FILE (or - for standard input) through an API and wait for the answers. FILE is a table with
    --prompt or --template, a file of requests, or with --lines a prompt per line. A job (its id, its name
    or last) continues instead.

    \b
    simple-batch run reviews.csv -p "Classify the sentiment: {{ review }}" --api deepseek -o out.xlsx
    """
    _check_output(output, as_json)
    if sample and limit:
        raise click.UsageError("Give --sample or --limit, not both.")
    if job != "-" and not Path(job).exists():
        return _continued(job, config, output, as_json, {**fields, "images": images, "yes": yes})
    new = new_job(_connection(config), **fields)
    part = sample or limit
    if dry_run:
        return _estimated(job, new, part, bool(sample), as_json)
    if not part:
        return _sent(_created(job, new, images, yes), output, as_json, fields)
    of_part = msgspec.structs.replace(new)
    with _part_of(job, of_part, part, bool(sample)) as subset:
        beside = None if job == "-" else Path(job).parent
        folder = Path(images) if images else beside
        made = _create(subset.data, subset.name, of_part, folder, yes)
    status = _sent(made, output, as_json, fields)
    if subset.rows < subset.total and status in _ENDED:
        _say_rest(made.id, subset, bool(sample))
        if sample and job != "-" and sys.stdin.isatty() and _goes_on(subset.total):
            return _sent(_created(job, new, images, yes), output, as_json, fields)
    return status


def _say_rest(job_id: int, subset: row_subset.Subset, sample: bool) -> None:
    kind = "a random sample" if sample else "the first rows"
    say(f"These were {kind}: {subset.rows:,} of {subset.total:,}.")
    cost = summary(job_id)["cost"]
    if sample and cost["amount"]:
        whole = cost["amount"] / subset.rows * subset.total
        say(f"All would cost about {whole:.2g} {cost['currency']}.")
    say("To send all, leave the option out.")


def _goes_on(total: int) -> bool:
    return click.confirm(f"Send all {total:,} rows now?", err=True)


def _check_output(output: str | None, as_json: bool) -> None:
    """Complain before the work, not after it."""
    if output == "-" and as_json:
        raise click.UsageError("Give --json or -o -, not both.")
    if output and output != "-":
        format_for(output)


def _connection(config: str | None) -> str:
    """The connection that is named, or the only one that there is."""
    if config is not None:
        return config
    active = configs.list_all(active=True)
    if len(active) == 1:
        say(f"Connection: {active[0].alias} ({active[0].model}).")
        return active[0].alias
    if not active:
        raise InvalidInput(
            "There is no connection to an API yet. Add one: simple-batch api add NAME --provider openai",
            "config",
        )
    names = ", ".join(one.alias for one in active[:20])
    raise InvalidInput(
        f"Say which connection: --api {active[0].alias}. There are: {names}.", "config"
    )


def _continued(job: str, config, output, as_json: bool, fields: dict) -> ExitStatus:
    try:
        job_id = job_id_of(job)
    except NotFound as error:
        if job.isdigit() or job == "last":
            raise
        raise InvalidInput(f"There is no file {job}, and no job of that name.") from error
    to_run(str(job_id), config, fields)
    status = run_here(job_id, fields["fail_on"])
    return _delivered(job_id, status, output, as_json)


def _created(file: str, new: JobOptions, images: str | None, confirmed: bool):
    if file == "-":
        return _create(sys.stdin.buffer, "stdin", new, Path(images) if images else None, confirmed)
    path = Path(file)
    if not path.is_file():
        raise InvalidInput(f"{file} is a folder: name a file.")
    return _create(path, path.name, new, Path(images) if images else None, confirmed)


def _create(source, name: str, new: JobOptions, folder: Path | None, confirmed: bool):
    if folder is not None and not folder.is_dir():
        raise InvalidInput(f"There is no folder {folder}.")
    job = job_creation.create_now(source, name, new, images_in=folder, confirmed=confirmed)
    for note in [*readings.notes(job.upload), *table_choices.notes_of(job.id)]:
        say(note)
    say(f"Job {job.id} “{job.name}”: {counted(job.total, 'request')}.")
    return job


def _sent(job, output, as_json: bool, fields: dict) -> ExitStatus:
    return _delivered(job.id, run_here(job.id, fields["fail_on"]), output, as_json)


def _delivered(job_id: int, status: ExitStatus, output: str | None, as_json: bool) -> ExitStatus:
    """Write the answers where they are wanted, and say where they are."""
    if as_json:
        put_json(summary(job_id))
    if status not in _ENDED:
        return status
    if output and output != "-":
        write_file(job_id, output, format_for(output), "all")
        say(f"Answers: {output}")
    elif output == "-" or (not as_json and not sys.stdout.isatty()):
        write_out(export.export(job_id, "jsonl", "all"), "jsonl")
        say(f"The answers are also in job {job_id}: simple-batch export {job_id} -o answers.xlsx")
    else:
        say(
            f"The answers are in job {job_id}. To a file: simple-batch export {job_id} -o answers.xlsx"
        )
        say(f"In a browser: simple-batch serve, then http://127.0.0.1:7861/jobs/{job_id}/results")
    return status


def _staged(file: str, new: JobOptions):
    sheet = new.template.sheet if new.template is not None else ""
    if file == "-":
        return row_subset.staged(sys.stdin.buffer, "stdin", new.reading, sheet)
    return row_subset.staged_file(Path(file), new.reading, sheet)


def _part_of(file: str, new: JobOptions, count: int, at_random: bool):
    return row_subset.opened(_staged(file, new), new, count, at_random)


def _estimated(file: str, new: JobOptions, part: int | None, at_random: bool, as_json: bool):
    if part:
        with _part_of(file, new, part, at_random) as subset:
            staged = row_subset.staged(subset.data, subset.name, new.reading)
            return _estimate(staged, new, as_json)
    return _estimate(_staged(file, new), new, as_json)


def _estimate(staged, new: JobOptions, as_json: bool) -> ExitStatus:
    config = configs.get(new.config)
    with staged as (upload, found):
        if found.columns:
            if new.template is None:
                raise InvalidInput("This is a table: give --prompt or --template.", "template")
            uploads.apply_template(upload.id, new.template)
            upload, found = uploads.staged(upload.id)
        guessed = estimate.estimate(upload, found, config, new)
    if as_json:
        put_json(
            {"requests": found.good, "faults": found.fault_count, **msgspec.to_builtins(guessed)}
        )
        return ExitStatus.DONE
    say(f"{counted(found.good, 'request')} to {config.alias} ({config.model}). Nothing was sent.")
    for fault in found.faults[:5]:
        say(f"  {fault}")
    say(f"Input tokens:  {_range(guessed.input_tokens)}")
    say(f"Output tokens: {_range(guessed.output_tokens)}")
    say(f"Cost:          {_cost(guessed.cost, guessed.currency)}")
    if guessed.output_from == "assumed":
        say("The length of the answers is assumed. For a better estimate: --sample 20")
    return ExitStatus.DONE


def _range(found: estimate.Range) -> str:
    if found.low == found.high:
        return f"{found.expected:,}"
    return f"about {found.expected:,} ({found.low:,} to {found.high:,})"


def _cost(found: estimate.Range | None, currency: str) -> str:
    if found is None:
        return "unknown: the connection has no prices"
    low, expected, high = (_short(each, currency) for each in msgspec.structs.astuple(found))
    return f"about {expected} ({low} to {high})"


def _short(nano: int, currency: str) -> str:
    """With two digits that count."""
    digits = 2
    while digits < 9 and 0 < abs(nano) < 10 ** (10 - digits):
        digits += 1
    unit = 10 ** (9 - digits)
    return in_units(round(nano / unit) * unit, currency)
