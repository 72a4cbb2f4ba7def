"""Images beside a table: taken from forms, and shown."""

from pathlib import Path

from flask import Blueprint, Response, abort, request, send_file, url_for
from flask_babel import ngettext

from ..services import jobs
from ..store import images
from ..store.models import Upload
from .labels import translated

blueprint = Blueprint("pictures", __name__)

_SHOWN_REFUSALS = 5


@blueprint.get("/jobs/<int:job_id>/images/<file>")
def of_job(job_id: int, file: str):
    """An image of a job's requests."""
    return _sent(images.folder_of(jobs.get(job_id)), file)


@blueprint.get("/jobs/new/<int:upload_id>/images/<file>")
def of_staged(upload_id: int, file: str):
    """An image beside a staged table."""
    upload = Upload.get_or_none(Upload.id == upload_id)
    return _sent(images.folder(upload.path) if upload is not None else None, file)


def refusals(refused: list[images.Given]) -> str:
    """The error about files that are no images; empty without any."""
    if not refused:
        return ""
    text = ngettext("%(num)s file was rejected:", "%(num)s files were rejected:", len(refused))
    shown = [f"“{one.name}” {translated(one.refused)}" for one in refused[:_SHOWN_REFUSALS]]
    more = ["…"] if len(refused) > _SHOWN_REFUSALS else []
    return " ".join([text, "; ".join([*shown, *more])])


def given(name: str = "images") -> list:
    """(stream, name) of the files in an input of the form."""
    return [(file.stream, file.filename) for file in request.files.getlist(name) if file.filename]


def of_upload(upload: Upload, messages) -> dict:
    """What a page needs to show the pictures in messages: their ``pictures`` by file, and where they
    are."""
    parts = (part for message in messages for part in message["parts"])
    files = {part["text"] for part in parts if part["kind"] == "picture"}
    return {
        "pictures": images.called(upload.id, files),
        "pictures_at": url_for("pictures.of_staged", upload_id=upload.id, file=""),
    }


def _sent(where: Path | None, file: str) -> Response:
    """Serve it with the type of its content, and forbid browsers to guess another."""
    if where is None or not images.FILE.fullmatch(file) or not (where / file).is_file():
        abort(404)
    answer = send_file(where / file, mimetype=f"image/{file.rpartition('.')[2]}", max_age=86_400)
    answer.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    answer.headers["Content-Disposition"] = "inline"
    return answer
