"""Part 5: import and export compared with a bare loop that decodes and encodes the same lines, with
the json module (the usual choice) and with msgspec (the fastest), and a CSV file through a template
compared with csv, Jinja and json."""

import csv
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jinja2
import msgspec

from .million import build_rows
from .processes import ROOT, flask

TEMPLATE = {
    "system": "You know {{ topic }}. Be brief.",
    "user": "About {{ topic }}:\n{{ question }}",
    "parameters": {"seed": "{{seed}}"},
    "custom_id": "id",
}


def files(sizes: list[int]) -> dict:
    """Seconds of each import and export at the last size, and peak memory at every size."""
    runs = {rows: _files(rows) for rows in sizes}
    found = runs[sizes[-1]]
    found["peak_mb"] = {
        name: {str(rows): run["peak_mb"][name] for rows, run in runs.items()}
        for name in found["peak_mb"]
    }
    return found


def _files(rows: int) -> dict:
    peaks = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "in.jsonl"
        _write(path, rows)
        bare_in = bare_loops(path, Path(folder) / "bare.jsonl")
        (Path(folder) / "one").mkdir()
        one = str(Path(folder) / "one")
        flask(one, "add-config", "a", "--base-url", "http://127.0.0.1:9/v1", "--model", "m")
        took_in, peaks["import"] = _timed(
            one, "create-job", str(path), "--config", "a", "--no-start"
        )
        path.unlink()
        table, template = Path(folder) / "in.csv", Path(folder) / "template.json"
        _write_table(table, rows)
        template.write_text(json.dumps(TEMPLATE))
        bare_table = bare_template(table, Path(folder) / "bare.jsonl")
        made_of = ("create-job", str(table), "--template", str(template))
        took_table, peaks["table"] = _timed(one, *made_of, "--config", "a", "--no-start")
    with tempfile.TemporaryDirectory() as folder:
        build_rows(folder, rows)
        took_as = {}
        for form in ("jsonl", "csv", "xlsx", "parquet"):
            out = Path(folder) / f"out.{form}"
            took_as[form], peaks[form] = _timed(folder, "export-job", "1", "-o", str(out))
        bare_out = bare_loops(Path(folder) / "out.jsonl", Path(folder) / "bare.jsonl")
    return {
        "rows": rows,
        "import_s": took_in,
        "import_bare_s": bare_in,
        "table_s": took_table,
        "table_bare_s": {"csv, jinja2 and json": bare_table},
        "export_s": took_as.pop("jsonl"),
        "export_as_s": took_as,
        "export_bare_s": bare_out,
        "peak_mb": peaks,
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


def bare_template(source: Path, target: Path) -> float:
    """Seconds to render a request for each row, in the usual way."""
    environment = jinja2.Environment(autoescape=False)
    system, user = (environment.from_string(TEMPLATE[name]) for name in ("system", "user"))
    began = time.perf_counter()
    with source.open(newline="") as table, target.open("w") as out:
        for row in csv.DictReader(table):
            messages = [{"role": "system", "content": system.render(row)}]
            messages.append({"role": "user", "content": user.render(row)})
            out.write(json.dumps({"messages": messages, "seed": int(row["seed"])}) + "\n")
    return time.perf_counter() - began


def _write_table(path: Path, rows: int) -> None:
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["id", "topic", "question", "seed"])
        for n in range(rows):
            question = f"question number {n}: " + "a sentence of some words. " * 10
            table.writerow([f"q-{n}", "yeast, bread", question, n])


def _write(path: Path, rows: int) -> None:
    with path.open("w") as file:
        for n in range(rows):
            content = f"question number {n}: " + "a sentence of some words. " * 10
            messages = [{"role": "system", "content": "Be brief."}]
            messages.append({"role": "user", "content": content})
            file.write(json.dumps({"custom_id": f"q-{n}", "messages": messages}) + "\n")


def _timed(folder: str, *args: str) -> tuple[float, float]:
    """Seconds of a command without the startup of Python and the program, and its peak memory in
    MB."""
    start = time.perf_counter()
    peak_mb = _run(folder, *args)
    return time.perf_counter() - start - _starting_s(), peak_mb


@functools.cache
def _starting_s() -> float:
    """Seconds of a command that does almost nothing."""
    with tempfile.TemporaryDirectory() as folder:
        _run(folder, "list-configs")
        start = time.perf_counter()
        _run(folder, "list-configs")
        return time.perf_counter() - start


def _run(folder: str, *args: str) -> float:
    """Returns the peak of the command's memory, in MB."""
    environment = {**os.environ, "SIMPLE_BATCH_INSTANCE_PATH": folder, "SIMPLE_BATCH_LOG_DIR": ""}
    command = subprocess.Popen(
        [sys.executable, "-m", "flask", *args],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(command.pid, 0)
    command.returncode = os.waitstatus_to_exitcode(status)
    if command.returncode:
        raise subprocess.CalledProcessError(command.returncode, args)
    return usage.ru_maxrss / 1024
