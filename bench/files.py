"""Part 5: import and export beside a bare loop that decodes and re-encodes the same lines: with
the json module, as people write it, and with msgspec, the fastest there is."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from .million import build_rows
from .processes import ROOT, flask


def files(rows: int) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "in.jsonl"
        _write(path, rows)
        bare_in = bare_loops(path, Path(folder) / "bare.jsonl")
        (Path(folder) / "one").mkdir()
        one = str(Path(folder) / "one")
        flask(one, "add-config", "a", "--base-url", "http://127.0.0.1:9/v1", "--model", "m")
        took_in = _timed(one, "create-job", str(path), "--config", "a", "--no-start")
    with tempfile.TemporaryDirectory() as folder:
        build_rows(folder, rows)
        out = Path(folder) / "out.jsonl"
        took_out = _timed(folder, "export-job", "1", "--format", "jsonl", "-o", str(out))
        bare_out = bare_loops(out, Path(folder) / "bare.jsonl")
    return {
        "rows": rows,
        "import_s": took_in,
        "import_bare_s": bare_in,
        "export_s": took_out,
        "export_bare_s": bare_out,
    }


def bare_loops(source: Path, target: Path) -> dict[str, float]:
    """Seconds by library."""
    return {
        "json": bare_loop(source, target, json.loads, lambda value: json.dumps(value).encode()),
        "msgspec": bare_loop(
            source, target, msgspec.json.Decoder().decode, msgspec.json.Encoder().encode
        ),
    }


def bare_loop(source: Path, target: Path, decode, encode) -> float:
    """Seconds to read, decode, encode and write every line."""
    began = time.perf_counter()
    with source.open("rb") as lines, target.open("wb") as out:
        for line in lines:
            out.write(encode(decode(line)) + b"\n")
    return time.perf_counter() - began


def _write(path: Path, rows: int) -> None:
    with path.open("w") as file:
        for n in range(rows):
            content = f"question number {n}: " + "a sentence of some words. " * 10
            messages = [{"role": "system", "content": "Be brief."}]
            messages.append({"role": "user", "content": content})
            file.write(json.dumps({"custom_id": f"q-{n}", "messages": messages}) + "\n")


def _timed(folder: str, *args: str) -> float:
    """Seconds of a command, less those of starting Python and the program."""
    start = time.perf_counter()
    _run(folder, "list-configs")
    middle = time.perf_counter()
    _run(folder, *args)
    return time.perf_counter() - middle - (middle - start)


def _run(folder: str, *args: str) -> None:
    environment = {**os.environ, "SIMPLE_BATCH_INSTANCE_PATH": folder, "SIMPLE_BATCH_LOG_DIR": ""}
    subprocess.run(
        [sys.executable, "-m", "flask", *args],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
