"""OpenAI's own description of these routes, by schemathesis against a real server process."""

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest

from simple_batch.auth import tokens
from simple_batch.store.database import connected

from .. import endpoint as e
from ..conftest import wait_until
from ..endpoint import MisbehavingEndpoint
from .conftest import client_of, jsonl, line, submit

HERE = Path(__file__).parent
DESCRIPTION = json.loads((HERE / "description.json").read_text())
ENDED = ("completed", "failed", "cancelled")


@pytest.fixture
def described(server, add_config, make_job):
    """A token, and {kind: ids} of real objects: batches that completed, failed, were cancelled and
    are stopped, a job made on the pages, and their files."""
    with connected():
        _, secret = tokens.create("judge", sees_all=True)
    script = (e.error(400, "too spicy", "content_filter"), e.ok())
    with (
        MisbehavingEndpoint(*script) as quick,
        MisbehavingEndpoint(e.slow(20.0)) as slow,
        MisbehavingEndpoint(e.ok(), e.error(401, "wrong key")) as refusing,
    ):
        add_config(refusing.base_url, alias="refusing", model="m-refusing", concurrency=1)
        add_config(quick.base_url, alias="good", model="m", concurrency=1)
        add_config(slow.base_url, alias="slow", model="m-slow", concurrency=1)
        make_job(2, config="good")
        with client_of(server, secret) as client:
            done = submit(client, [line(f"q-{n}") for n in range(4)], metadata={"a": "b"})
            mixed = submit(client, [line("x"), line("y", model="slow")])
            faulty = submit(client, ["{no json"])
            stopped = submit(client, [line(f"q-{n}", model="refusing") for n in range(3)])
            wait_until(lambda: client.batches.retrieve(stopped.id).output_file_id)
            for batch in (done, faulty):
                wait_until(lambda batch=batch: client.batches.retrieve(batch.id).status in ENDED)
            wait_until(lambda: slow.calls)
            client.batches.cancel(mixed.id)
            yield secret, _ids(client)


def _ids(client) -> dict[str, list[str]]:
    expendable = [client.files.create(file=jsonl([]), purpose="batch").id for _ in range(20)]
    good = client.files.create(file=jsonl([line("again")]), purpose="batch").id
    kept = [file.id for file in client.files.list() if file.id not in expendable]
    return {
        "input": [good],
        "files": kept,
        "deleted": expendable,
        "batches": [batch.id for batch in client.batches.list()],
        "models": ["good", "slow", "m-slow"],
    }


def extended(ids: dict[str, list[str]]) -> dict:
    """OpenAI's description with the intentional additions of Simple Batch and the ids of existing
    objects."""
    described = copy.deepcopy(DESCRIPTION)
    schemas, paths = described["components"]["schemas"], described["paths"]
    # Unset fields are null and never left out: the types of OpenAI's clients have these as
    # optional. A batch over several models (an extension) has no one model.
    for schema, *names in (
        ("OpenAIFile", "expires_at", "status_details"),
        ("ListFilesResponse", "first_id", "last_id"),
        ("ListBatchesResponse", "first_id", "last_id"),
        ("Batch", "model"),
    ):
        for name in names:
            field = schemas[schema]["properties"][name]
            field["type"] = [field["type"], "null"]
    # OpenAI takes files for evals, but forgot them in what it answers.
    schemas["OpenAIFile"]["properties"]["purpose"]["enum"].append("evals")
    # Limits that OpenAI's description has in prose only.
    for path, most in (("/files", 10_000), ("/batches", 100)):
        limit = next(p for p in paths[path]["get"]["parameters"] if p["name"] == "limit")
        limit["schema"] |= {"minimum": 1, "maximum": most}
    schemas["Metadata"]["anyOf"][0] |= {
        "maxProperties": 16,
        "propertyNames": {"maxLength": 64},
        "additionalProperties": {"type": "string", "maxLength": 512},
    }
    asked = schemas["CreateBatchRequest"]["properties"]
    # Not served: their lines carry files.
    for name in ("/v1/images/edits", "/v1/videos"):
        asked["endpoint"]["enum"].remove(name)
    # Other windows than 24h are taken: <n>h and <n>m.
    asked["completion_window"] = {"type": "string", "pattern": "^[1-9][0-9]?[hm]$"}
    # Null is the same as none.
    schemas["BatchFileExpirationAfter"]["type"] = ["object", "null"]
    refused = {"description": "No token, or a wrong one.", **_answers("ErrorResponse")}
    for operations in paths.values():
        for operation in operations.values():
            operation["responses"]["401"] = refused  # OpenAI's is in prose only
    paths["/files"]["post"]["responses"]["413"] = {
        "description": "Larger than BATCH_MAX_FILE_BYTES.",
        **_answers("ErrorResponse"),
    }
    asked["input_file_id"]["enum"] = ids["input"]
    for path, method, kind in (
        ("/files/{file_id}", "get", "files"),
        ("/files/{file_id}", "delete", "deleted"),
        ("/files/{file_id}/content", "get", "files"),
        ("/batches/{batch_id}", "get", "batches"),
        ("/batches/{batch_id}/cancel", "post", "batches"),
        ("/models/{model}", "get", "models"),
    ):
        parameter = paths[path][method]["parameters"][0]
        parameter["schema"] = {"anyOf": [{"enum": ids[kind]}, {"type": "string"}]}
    return described


def _answers(schema: str) -> dict:
    return {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}


def test_openais_description_holds(server, described, tmp_path):
    secret, ids = described
    path = tmp_path / "description.json"
    path.write_text(json.dumps(extended(ids)))
    done = subprocess.run(
        [
            Path(sys.executable).with_name("st"),
            "--config-file",
            HERE / "schemathesis.toml",
            "run",
            path,
            "--url",
            f"{server.url}/v1",
            "--no-color",
            "-H",
            f"Authorization: Bearer {secret}",
        ],
        capture_output=True,
        text=True,
        timeout=280,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Tested: 11" in done.stdout
