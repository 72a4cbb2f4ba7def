"""/v1/files"""

from flask import Response, jsonify, request, stream_with_context
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import RequestEntityTooLarge

from .. import audit, files, jobs, runtime, uploads
from ..errors import InvalidInput
from ..settings import MIB
from . import fields, objects
from .auth import caller, viewer
from .blueprint import api_blueprint

blueprint = api_blueprint("files", "/v1/files")


@blueprint.post("")
def create():
    """Keep an upload."""
    most = runtime.settings().BATCH_MAX_FILE_BYTES
    if most:
        request.max_content_length = most + MIB  # the form around the file is small
        if (request.content_length or 0) > request.max_content_length:
            raise RequestEntityTooLarge
    given = _given()
    purpose = fields.required_text(request.form, "purpose")
    keep_s = fields.keep_s(fields.nested("expires_after"), "expires_after")
    made = files.add_once(
        given.stream,
        given.filename or uploads.NAMELESS,
        purpose,
        caller(),
        keep_s,
        fields.idempotency_key(),
    )
    return jsonify(objects.file(made))


def _given() -> FileStorage:
    """The file of the form, also one without a name. Raises InvalidInput."""
    given = request.files.get("file")
    if given is not None and (given.filename or given.stream.read(1)):
        given.stream.seek(0)
        return given
    if "file" in request.form:  # as text: what is not UTF-8 in it is lost already
        raise InvalidInput(
            "'file' came as a field of text: send it as a file, with a filename in its "
            "Content-Disposition.",
            "file",
        )
    raise InvalidInput("Missing required parameter: 'file'.", "file")


@blueprint.get("")
def index():
    """A page of the files."""
    limit = fields.limit(10_000, 10_000)
    order = request.args.get("order", "desc")
    if order not in ("asc", "desc"):
        raise InvalidInput("order must be 'asc' or 'desc'.", "order")
    after = request.args.get("after")
    rows, more = files.page(
        viewer(),
        request.args.get("purpose"),
        None if after is None else _number(after),
        limit,
        order == "desc",
    )
    return jsonify(objects.page([objects.file(row) for row in rows], more))


@blueprint.get("/<file_id>")
def retrieve(file_id: str):
    """One file."""
    return jsonify(objects.file(_file(file_id)))


@blueprint.get("/<file_id>/content")
def content(file_id: str):
    """What is in it, streamed."""
    file = _file(file_id)
    audit.note("file.download", f"file-{file.id}", file.filename)
    name = file.filename.encode("ascii", "replace").decode().replace("?", "_").replace('"', "_")
    name = name.lstrip(".") or "file"
    return Response(
        stream_with_context(files.content(file)),
        content_type="application/octet-stream",
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
        },
    )


@blueprint.delete("/<file_id>")
def delete(file_id: str):
    """Remove it, with what is in it."""
    number = _number(file_id)
    files.delete(number, viewer())
    jobs.sweep()
    return jsonify(id=file_id, object="file", deleted=True)


def _file(file_id: str):
    return files.get(_number(file_id), viewer())


def _number(file_id: str) -> int:
    return objects.number_of(file_id, "file-", "File object")
