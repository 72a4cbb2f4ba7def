"""A provider's batch API without a network: it keeps everything in a folder, so that it outlives the
process that calls it, and counts each batch and each line."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import msgspec

from simple_batch.core.domain import Cause, Verdict
from simple_batch.engine.batch_api.batch_client import (
    BatchCallFailed,
    BatchError,
    BatchLimits,
    LineResult,
    RemoteBatch,
    RemoteState,
)
from simple_batch.engine.classify import Classification
from simple_batch.engine.transport import Reply, TransportFailure


def refused(status: int, message: str, cause: Cause, verdict: Verdict, **flags) -> BatchCallFailed:
    return BatchCallFailed(Classification(cause, verdict, status, message), **flags)


class FakeBatches:
    """A BatchClient. ``on(step)`` is called before and after each step ("create", "created", …) and may
    raise. ``ends_after`` looks a batch is completed."""

    counts_at_end = False
    cancels = True

    def __init__(
        self,
        folder: Path,
        on: Callable[[str], None] = lambda step: None,
        limits: BatchLimits = BatchLimits(),
        ends_after: int = 1,
        inline: bool = False,
    ):
        self.folder = folder
        self.on = on
        self.limits = limits
        self.ends_after = ends_after
        self.inline = inline
        self.uncertain = False  # a batch is known only when it has ended
        self.held = False  # batches do not end by themselves
        self.loses: set[str] = set()  # ids of lines that are never run
        self.refuses: Callable[[dict, list[dict]], list[BatchError]] = lambda batch, lines: []
        (folder / "files").mkdir(parents=True, exist_ok=True)
        (folder / "batches").mkdir(exist_ok=True)

    # --- what a test asks ---------------------------------------------------------------------

    def batches(self) -> list[dict]:
        paths = sorted(
            (self.folder / "batches").glob("*.json"), key=lambda path: int(path.stem[1:])
        )
        return [json.loads(path.read_text()) for path in paths]

    def files(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "files").iterdir())

    def billed(self) -> list[str]:
        """The ids of all lines that were run."""
        return [line for batch in self.batches() for line in batch["run"]]

    # --- BatchClient --------------------------------------------------------------------------

    def line(self, line_id: str, url: str, body: bytes) -> bytes:
        return b'{"custom_id":"%s","url":"%s","body":%s}' % (line_id.encode(), url.encode(), body)

    def upload(self, part) -> str | None:
        self.on("upload")
        name = f"{part.marker}.jsonl"
        (self.folder / "files" / name).write_bytes(part.path.read_bytes())
        self.on("uploaded")
        return name

    def find_upload(self, part) -> str | None:
        self.on("find_upload")
        path = self.folder / "files" / f"{part.marker}.jsonl"
        whole = path.exists() and path.stat().st_size == part.path.stat().st_size
        return path.name if whole else None

    def create(self, part, file_id) -> RemoteBatch:
        self.on("create")
        source = self.folder / "files" / file_id if file_id else part.path
        if not source.exists():
            raise refused(404, "no such file", Cause.NOT_FOUND, Verdict.STOP, gone=True)
        lines = [json.loads(line) for line in source.read_bytes().splitlines()]
        batch = {
            "id": f"b{len(self.batches()) + 1}",
            "marker": part.marker,
            "file": file_id,
            "state": "running",
            "lines": [line["custom_id"] for line in lines],
            "models": sorted({line["body"]["model"] for line in lines}),
            "run": [],
            "looks": 0,
            "errors": [],
        }
        errors = self.refuses(batch, lines)
        if errors:
            batch["state"], batch["errors"] = "failed", [_as_dict(error) for error in errors]
        self._save(batch)
        self.on("created")
        return self._remote(batch)

    def find(self, part, file_id) -> list[RemoteBatch]:
        self.on("find")
        mine = [batch for batch in self.batches() if batch["marker"] == part.marker]
        if not self.uncertain:
            return [self._remote(batch) for batch in mine]
        found = [self.retrieve(batch["id"]) for batch in mine]
        return [msgspec.structs.replace(one, certain=one.state.ended) for one in found]

    def retrieve(self, batch_id: str) -> RemoteBatch:
        self.on("retrieve")
        batch = self._load(batch_id)
        batch["looks"] += 1
        if batch["state"] == "running" and batch["looks"] >= self.ends_after and not self.held:
            run = [line for line in batch["lines"] if line not in self.loses]
            batch["state"], batch["run"] = "completed", run
        elif batch["state"] == "cancelling":
            batch["state"], batch["run"] = "cancelled", batch["lines"][: len(batch["lines"]) // 2]
        self._save(batch)
        self.on("retrieved")
        return self._remote(batch)

    def cancel(self, batch_id: str) -> None:
        self.on("cancel")
        batch = self._load(batch_id)
        if batch["state"] == "running":
            batch["state"] = "cancelling"
            self._save(batch)
        self.on("cancelled")

    def download(self, batch: RemoteBatch, folder: Path) -> list[Path]:
        self.on("download")
        path = folder / "results.jsonl"
        path.write_text("".join(f"{line}\n" for line in self._load(batch.id)["run"]))
        self.on("downloaded")
        return [path]

    def read(self, path: Path):
        for line in path.read_text().split():
            answer = {"choices": [{"message": {"content": line}, "finish_reason": "stop"}]}
            answer["usage"] = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
            yield LineResult(line, Reply(200, {}, json.dumps(answer).encode()))

    def delete(self, batch: RemoteBatch) -> None:
        self.on("delete")
        if batch.input_file:
            (self.folder / "files" / batch.input_file).unlink(missing_ok=True)
        self.on("deleted")

    def close(self) -> None:
        pass

    # ------------------------------------------------------------------------------------------

    def _load(self, batch_id: str) -> dict:
        return json.loads((self.folder / "batches" / f"{batch_id}.json").read_text())

    def _save(self, batch: dict) -> None:
        path = self.folder / "batches" / f"{batch['id']}.json"
        path.with_suffix(".new").write_text(json.dumps(batch))
        path.with_suffix(".new").replace(path)

    def _remote(self, batch: dict) -> RemoteBatch:
        state = RemoteState(batch["state"])
        return RemoteBatch(
            id=batch["id"],
            state=state,
            status=batch["state"],
            total=len(batch["lines"]),
            succeeded=len(batch["run"]),
            failed=0,
            results=("results",) if state.ended and state is not RemoteState.FAILED else (),
            input_file=batch["file"],
            marker=batch["marker"],
            errors=tuple(BatchError(**error) for error in batch["errors"]),
        )


def _as_dict(error: BatchError) -> dict:
    return {name: getattr(error, name) for name in ("code", "message", "line", "enqueued")}


class Fails:
    """Fails a step for a number of times, or with an error each."""

    def __init__(self, step: str, *errors: Exception):
        self._step = step
        self.errors = list(errors)
        self.steps: list[str] = []

    def __call__(self, step: str) -> None:
        self.steps.append(step)
        if step == self._step and self.errors:
            raise self.errors.pop(0)


class Dies:
    """Kills this process at a step."""

    def __init__(self, step: str):
        self._step = step

    def __call__(self, step: str) -> None:
        if step == self._step:
            os.kill(os.getpid(), signal.SIGKILL)


def no_answer() -> TransportFailure:
    return TransportFailure(Cause.TIMEOUT, "no answer within 1 s")
