"""The documented flow by OpenAI's Node client from npm (node/flow.mjs) against a real server."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from simple_batch.auth import tokens
from simple_batch.store.database import connected

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint
from .conftest import jsonl, line

NODE = Path(__file__).parent / "node"


@pytest.fixture
def flow(server, add_config, tmp_path):
    """The output of flow.mjs: of six lines the second and third fail."""
    if shutil.which("node") is None:
        pytest.skip("node is not here")
    if not (NODE / "node_modules" / "openai").exists():
        pytest.skip("OpenAI's Node client is not installed: sh tools/node_client.sh")
    path = tmp_path / "questions.jsonl"
    path.write_bytes(jsonl(line(f"q-{n}", model="good") for n in range(6)).read())
    with connected():
        _, secret = tokens.create("node")
    script = (e.ok(), e.error(400, "too spicy", "content_filter"), e.error(404, "none"), e.ok())
    with MisbehavingEndpoint(*script) as quick, MisbehavingEndpoint(e.slow(1.5)) as slow:
        add_config(quick.base_url, alias="good", model="m", concurrency=1)
        add_config(slow.base_url, alias="slow", model="m-slow", concurrency=1)
        done = subprocess.run(
            ["node", NODE / "flow.mjs", f"{server.url}/v1", secret, path, tmp_path],
            capture_output=True,
            text=True,
            timeout=280,
        )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_documented_flow(flow):
    _judge_results(flow)
    _judge_nameless(flow["nameless"])
    _judge_lists(flow)
    _judge_cancelling(flow)
    _judge_refusals(flow["refused"])
    assert flow["deleted"] == {"id": flow["file"]["id"], "object": "file", "deleted": True}
    assert flow["gone"]["status"] == 404


def _judge_results(flow):
    file, created, done, output = (flow[name] for name in ("file", "created", "done", "outputFile"))
    assert (file["status"], flow["processed"]) == ("processed", "processed")
    assert file["filename"] == "questions.jsonl"
    assert file["expires_at"] - file["created_at"] == 7200
    assert flow["sameBytes"] is True
    assert (created["status"], created["metadata"]) == ("validating", {"project": "moon"})
    assert all(answer["requestID"].startswith("req_") for answer in (file, created))
    assert done["status"] == "completed"
    assert done["request_counts"] == {"total": 6, "completed": 4, "failed": 2}
    assert done["usage"]["total_tokens"] == 4 * 10
    assert output["purpose"] == "batch_output"
    assert output["expires_at"] - output["created_at"] == 3600
    bodies = {row["custom_id"]: row["response"]["body"] for row in flow["output"]}
    assert bodies == dict.fromkeys(("q-0", "q-3", "q-4", "q-5"), e.GOOD)
    failed = [(row["custom_id"], row["response"]["status_code"]) for row in flow["errors"]]
    assert failed == [("q-1", 400), ("q-2", 404)]
    assert [fault["code"] for fault in flow["failed"]["errors"]["data"]] == ["invalid_json_line"]


def _judge_nameless(nameless):
    names = {kind: each.pop("filename") for kind, each in nameless.items()}
    assert names == {
        **dict.fromkeys(("buffer", "array", "blob"), "unknown_file"),
        "gzip": "in.jsonl.gz",
    }
    assert all(
        each == {"status": "completed", "answered": 6, "same": True} for each in nameless.values()
    )


def _judge_lists(flow):
    numbers = [int(name.removeprefix("file-")) for name in flow["files"]]
    assert numbers == sorted(set(numbers))  # a server may leave numbers out
    assert (len(numbers), flow["files"][0]) == (7, flow["file"]["id"])
    results = {flow["done"]["output_file_id"], flow["done"]["error_file_id"]}
    assert not results & set(flow["files"])
    assert flow["batches"] == ["batch_2", "batch_1"]
    assert (flow["models"], flow["model"]["owned_by"]) == (["good", "slow"], "m")


def _judge_cancelling(flow):
    cancelled = flow["cancelled"]
    assert flow["cancelling"]["status"] in ("cancelling", "cancelled")
    assert cancelled["status"] == "cancelled"
    assert cancelled["cancelling_at"] <= cancelled["cancelled_at"]
    assert len(flow["kept"]) == cancelled["request_counts"]["completed"] < 6
    assert len(flow["kept"]) + len(flow["neverSent"]) == 6
    never = {(row["response"], row["error"]["code"]) for row in flow["neverSent"]}
    assert never == {(None, "batch_cancelled")}


def _judge_refusals(refused):
    """Errors look like OpenAI's, and the client does not retry any of them."""
    reply = {name: (each["kind"], each["status"], each["code"]) for name, each in refused.items()}
    assert reply == {
        "unknownBatch": ("NotFoundError", 404, None),
        "unknownFile": ("NotFoundError", 404, None),
        "unknownModel": ("NotFoundError", 404, "model_not_found"),
        "cancelTwice": ("ConflictError", 409, "batch_not_cancellable"),
        "endpoint": ("BadRequestError", 400, "invalid_value"),
        "noJsonl": ("BadRequestError", 400, "invalid_value"),
        "token": ("AuthenticationError", 401, "invalid_api_key"),
    }
    for each in refused.values():
        assert (each["type"], each["sent"]) == ("invalid_request_error", 1)
        assert each["requestID"].startswith("req_")
    assert (refused["endpoint"]["param"], refused["noJsonl"]["param"]) == ("endpoint", "file")
    assert "'/v1/videos'" in refused["endpoint"]["message"]
