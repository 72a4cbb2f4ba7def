"""Defaults that a table gives its job: the conversation that is sent, the column that names the requests.
And a check: a template that looks like a mistake is refused until it is confirmed."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from .. import intake
from ..core import context
from ..core.errors import InvalidInput
from ..core.messages import Message, lines, translatable
from ..core.stored_messages import CONVERSATION_USED, ID_COLUMN_REPEATS, ID_COLUMN_USED
from ..store import jobs as job_rows
from ..store.models import JobEvent, Upload
from . import readings
from .job_options import JobOptions
from .template_advice import order_advice

INPUT = "input"  # the reason of events that say how a file was read
_MOST_NOTES = 30


def choose(upload: Upload, new: JobOptions, confirmed: bool) -> list[Message]:
    """Complete the template of a job whose upload is a table; returns notes on what was chosen.
    Raises UploadRejected, and InvalidInput where the template looks like a mistake that was not
    ``confirmed``."""
    settings, path = context.settings(), Path(upload.path)
    sheet = new.template.sheet if new.template is not None else ""
    reading = readings.of(upload)
    reader = intake.Reader(
        path,
        settings,
        unique=False,
        template=new.template,
        sheet=sheet,
        reading=reading,
        filename=upload.filename,
    )
    try:
        if not reader.is_table():
            return []
        table = reader.table()
    finally:
        reader.close()
    notes: list[Message] = []
    if new.template is None:
        conversation = intake.conversation_of(table.conversations)
        if conversation is None:
            return []  # the import says that a template is needed
        new.template = intake.Template(conversation=conversation)
        notes.append(CONVERSATION_USED(name=conversation))
    elif not confirmed:
        refuse_mistakes(new.template, table.columns)
    if new.template.user and (advice := order_advice(new.template, table.columns, 0, None)):
        notes.append(advice)
    if new.template.custom_id is None and new.saved is None and "custom_id" not in table.columns:
        notes += _named(path, reading, new)
    return notes


def _named(path: Path, reading: intake.Reading, new: JobOptions) -> list[Message]:
    """Name the requests by the column with a name of an id, if it can."""
    assert new.template is not None
    found = intake.unique_id(path, context.settings(), new.template.sheet, reading)
    if found is None:
        return []
    name, repeated = found
    if repeated is not None:
        return [ID_COLUMN_REPEATS(name=name, value=repeated.value, row=repeated.row)]
    new.template = msgspec.structs.replace(new.template, custom_id=name)
    return [ID_COLUMN_USED(name=name)]


def refuse_mistakes(template: intake.Template, columns: list[str]) -> None:
    """Raises InvalidInput for a template that can be read, but looks like a mistake over these columns."""
    found = intake.findings(template, columns)
    if found:
        raise InvalidInput(
            lines(
                [
                    translatable("The template looks like a mistake:"),
                    *(translatable("  %(finding)s", finding=each.message) for each in found),
                    translatable("Correct it, or confirm it with --yes."),
                ]
            ),
            "template",
        )


def keep_notes(job_id: int, notes: Iterable[Message]) -> None:
    """Keep notes on how a job's file was read, as events of the job."""
    for note in list(notes)[:_MOST_NOTES]:
        job_rows.note(job_id, INPUT, note)


def notes_of(job_id: int) -> list[str]:
    """What ``keep_notes`` has kept."""
    found = JobEvent.select(JobEvent.detail).where(
        (JobEvent.job == job_id) & (JobEvent.reason == INPUT)
    )
    return [event.detail for event in found.order_by(JobEvent.id)]
