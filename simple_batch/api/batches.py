"""/v1/batches"""

from flask import jsonify, request

from .. import insight, intake
from ..auth import job_rights
from ..auth.job_rights import Right
from ..core.domain import JobStatus
from ..core.errors import Conflict, InvalidInput, NotFound
from ..services import batch_files, job_creation, jobs
from ..services.job_options import NewBatch
from . import parsing, serializers
from .auth import api_blueprint, caller, viewer
from .errors import ApiError

blueprint = api_blueprint("batches", "/v1/batches")

ENDPOINTS = sorted(intake.URLS)


@blueprint.post("")
def create():
    """Make a batch of a file; it is read and checked afterwards."""
    body = parsing.json_body()
    new = _asked(body)
    try:
        job = job_creation.create_batch(
            _input_file(new.input_file_id), new, caller(), parsing.idempotency_key()
        )
    except InvalidInput as error:
        if error.field != "deadline_at":
            raise
        raise InvalidInput(error.text, "completion_window") from None
    return jsonify(_batch(job.id))


@blueprint.get("")
def index():
    """A page of the batches, newest first."""
    limit = parsing.limit(100, 20)
    after = request.args.get("after")
    found, more = insight.batches_page(viewer(), None if after is None else _number(after), limit)
    return jsonify(serializers.page(serializers.batches(found), more))


@blueprint.get("/<batch_id>")
def retrieve(batch_id: str):
    """One batch."""
    return jsonify(_batch(_number(batch_id)))


@blueprint.post("/<batch_id>/cancel")
def cancel(batch_id: str):
    """Stop it; what finished is kept."""
    job = insight.batch(_number(batch_id), viewer())
    job_rights.need(job.id, Right.EDIT)
    if job.status != JobStatus.CANCELLING:  # asked for twice: it is under way
        try:
            jobs.cancel(job.id)
        except Conflict:
            status = serializers.batches([jobs.get(job.id)])[0]["status"]
            raise ApiError(
                409, f"Cannot cancel a batch with status '{status}'.", code="batch_not_cancellable"
            ) from None
    return jsonify(_batch(job.id))


def _asked(body: dict) -> NewBatch:
    endpoint = parsing.required_text(body, "endpoint")
    if endpoint not in ENDPOINTS:
        raise InvalidInput(
            f"Invalid value: {endpoint[:100]!r}. Supported values are: {', '.join(ENDPOINTS)}.",
            "endpoint",
        )
    window = parsing.required_text(body, "completion_window")
    keep_s = parsing.keep_s(body.get("output_expires_after"), "output_expires_after")
    metadata = parsing.metadata(body.get("metadata"))
    batch_files.check_keep(keep_s, "output_expires_after")
    return NewBatch(
        endpoint=endpoint,
        input_file_id=parsing.required_text(body, "input_file_id"),
        completion_window=window,
        window_s=parsing.window_s(window),
        metadata=metadata,
        output_keep_s=keep_s,
        service=parsing.service(body, metadata),
        sharing=parsing.sharing(body),
    )


def _input_file(file_id: str):
    try:
        file = batch_files.get(serializers.number_of(file_id, "file-", "File object"), viewer())
    except NotFound as error:
        raise InvalidInput(str(error), "input_file_id") from None
    if file.purpose != "batch" or file.upload is None:
        raise InvalidInput(
            f"{file_id} has the purpose {file.purpose!r}: upload it with purpose 'batch'.",
            "input_file_id",
        )
    return file


def _batch(job_id: int) -> dict:
    return serializers.batches([insight.batch(job_id, viewer())])[0]


def _number(batch_id: str) -> int:
    return serializers.number_of(batch_id, "batch_", "batch")
