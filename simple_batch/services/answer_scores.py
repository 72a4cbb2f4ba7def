"""New columns from the answers of a job: the data and the choices of a job that reads these answers, and
gives each a score and a reason. What it asks is only a beginning: any other columns can be asked for. They
are columns of the first job's results, too (store/grid_columns.py)."""

import io

from .. import export
from ..core import context
from ..intake import Reading, Template
from ..store.models import Upload
from ..store.request_filter import RequestFilter
from ..store.row_selection import Selection
from . import jobs, uploads
from .job_option_fields import JobOptions

SCHEMA = {
    "type": "object",
    "properties": {
        "score": {"type": "integer", "minimum": 1, "maximum": 5},
        "reason": {"type": "string"},
    },
    "required": ["score", "reason"],
    "additionalProperties": False,
}


def stage(
    job_id: int, wanted: RequestFilter, selection: Selection | None = None
) -> tuple[Upload, export.AnswerNames]:
    """The answers of a job that match, as a table: its own columns, the prompt, the answer, the fields of a
    schema. Raises UploadRejected where there is none."""
    names, pieces = export.answers(job_id, wanted, selection)
    stream = io.BufferedReader(uploads.Pieces(pieces))
    reading = Reading("utf-8", header=True, lines=False)
    upload = uploads.stage(stream, f"{jobs.get(job_id).name}.csv", reading=reading)
    upload.answers_of = job_id
    upload.save()
    return upload, names


def options(
    job_id: int, names: export.AnswerNames, name: str, system: str, heads: tuple[str, str]
) -> JobOptions:
    """What such a job begins with: its ``name``, the ``system`` message, and the ``heads`` of the prompt and of
    the answer in the user message. The connection is that of the job at first."""
    asked, given = heads
    user = f"{asked}\n{_column(names.prompt)}\n\n{given}\n{_column(names.answer)}"
    return JobOptions(
        config=jobs.get(job_id).config_id,
        name=name,
        max_retries=context.settings().DEFAULT_MAX_RETRIES,
        ask_once=True,
        schema=SCHEMA,
        template=Template(system=system, user=user, custom_id=names.custom_id),
    )


def _column(name: str) -> str:
    return f"{{{{{name}}}}}"
