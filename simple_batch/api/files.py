"""/v1/files"""

from flask import Response, jsonify, request, stream_with_context
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import RequestEntityTooLarge

from ..auth import audit_log
from ..core import context
from ..core.errors import InvalidInput
from ..core.settings import MIB
from ..services import batch_files, lifecycle, uploads
from . import parsing, serializers
from .auth import api_blueprint, caller, viewer

blueprint = api_blueprint("files", "/v1/files")


@blueprint.post("")
def create():
    """Keep an upload."""
    max_bytes = context.settings().BATCH_MAX_FILE_BYTES
    if max_bytes:
        request.max_content_length = max_bytes + MIB  # the form around the file is small
        if (request.content_length or 0) > request.max_content_length:
            raise RequestEntityTooLarge
    given = _given()
    purpose = parsing.required_text(request.form, "purpose")
    keep_s = parsing.keep_s(parsing.nested("expires_after"), "expires_after")
    made = batch_files.add_once(
        given.stream,
        given.filename or uploads.NAMELESS,
        purpose,
        caller(),
        keep_s,
        parsing.idempotency_key(),
    )
    return jsonify(serializers.file(made))


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
    limit = parsing.limit(10_000, 10_000)
    order = request.args.get("order", "desc")
    if order not in ("asc", "desc"):
        raise InvalidInput("order must be 'asc' or 'desc'.", "order")
    after = request.args.get("after")
    rows, more = batch_files.page(
        viewer(),
        request.args.get("purpose"),
        None if after is None else _number(after),
        limit,
        order == "desc",
    )
    return jsonify(serializers.page([serializers.file(row) for row in rows], more))


@blueprint.get("/<file_id>")
def retrieve(file_id: str):
    """One file."""
    return jsonify(serializers.file(_file(file_id)))


@blueprint.get("/<file_id>/content")
def content(file_id: str):
    """What is in it, streamed."""
    file = _file(file_id)
    audit_log.note("file.download", f"file-{file.id}", file.filename)
    name = file.filename.encode("ascii", "replace").decode().replace("?", "_").replace('"', "_")
    name = name.lstrip(".") or "file"
    return Response(
        stream_with_context(batch_files.content(file)),
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
    batch_files.delete(number, viewer())
    lifecycle.sweep()
    return jsonify(id=file_id, object="file", deleted=True)


def _file(file_id: str):
    return batch_files.get(_number(file_id), viewer())


def _number(file_id: str) -> int:
    return serializers.number_of(file_id, "file-", "File object")
