"""From every version of the tables to the newest, with rows in every table: nothing is lost, and
all pages, exports and figures work with the old rows."""

import json
import sqlite3
from contextlib import closing
from functools import partial

import peewee
import pytest
from playhouse.migrations import Runner

from simple_batch import create_app, export, insight
from simple_batch.core.domain import JobStatus
from simple_batch.services import configs
from simple_batch.store.database import MIGRATIONS, PRAGMAS, connected
from simple_batch.store.latency_sketch import LatencySketch
from simple_batch.store.secrets import open_vault

from .. import postgres
from ..auth.conftest import send

STEPS = sorted(path.stem for path in MIGRATIONS.glob("[0-9]*.py"))
T = 1_780_000_000_000
KEY = "sk-planted-0123456789"
JOBS = {n: status.value for n, status in enumerate(JobStatus, 1)}
DONE = {n for n, status in JOBS.items() if status in ("completed", "cancelled", "expired")}
ENDED = {"succeeded": 3, "failed": 2, "cancelled": 1}  # of every job's requests …
LEFT = 4  # … and this many more of a job that is not done
BODY = json.dumps({"messages": [{"role": "user", "content": "why, 为什么?"}]}).encode()
ANSWER = json.dumps(
    {"model": "m", "choices": [{"message": {"role": "assistant", "content": "because"}}]}
).encode()


def rows(vault) -> dict[str, list[dict]]:
    """The content of the tables, without columns that the version does not have."""
    sketch = LatencySketch()
    for latency in (100, 200, 300):
        sketch.add(latency)
    blob = sketch.to_bytes()
    total = {n: 6 if n in DONE else 6 + LEFT for n in JOBS}
    statuses = [status for status, count in ENDED.items() for _ in range(count)]
    results = [
        {
            **{"job_id": n, "idx": idx, "status": status, "config": "main", "attempts": 1},
            **{"finished_at": T + idx, "started_at": T, "model": "m"},
            "cause": {"failed": "server_error", "cancelled": "cancelled"}.get(status),
            "http_status": 500 if status == "failed" else 200,
            "message": "" if status == "succeeded" else "it did not work",
            "response": ANSWER if status == "succeeded" else None,
            "latency_ms": 100 * (idx + 1) if status == "succeeded" else None,
            "input_tokens": 10,
            "output_tokens": 20,
            "cost_nano": 30,
        }
        for n in JOBS
        for idx, status in enumerate(statuses)
    ]
    job = {
        **{"config_id": 1, "upload_id": 1, "created_at": T, "max_retries": 3, "currency": "USD"},
        **{"params": "{}", "live": "{}", "started_at": T, "attempts": 6, "retries": 1},
        **{"input_tokens": 30, "output_tokens": 60, "cost_nano": 90, "latency": blob, **ENDED},
    }
    times = {"created_at": T, "updated_at": T}
    main = {"base_url": "http://127.0.0.1:9/v1", "model": "m", "timeout_s": 5.0, "params": "{}"}
    return {
        "api_config": [
            {"alias": "main", "key_encrypted": vault.encrypt(KEY), "active": 1, **main, **times},
            {"alias": "other", "active": 1, "currency": "USD", **main, **times},
        ],
        "upload": [
            {"path": "/nowhere", "filename": "a.jsonl", "bytes": 5, "created_at": T, "preview": ""}
        ],
        "job": [
            {
                **{"id": n, "name": f"a job that is {status}", "status": status, **job},
                "total": total[n],
                "finished_at": T + 1000 if n in DONE else None,
                "status_reason": "user" if status == "paused" else "",
            }
            for n, status in JOBS.items()
        ],
        "job_event": [
            {"job_id": n, "at": T, "from_status": "queued", "to_status": status, "actor": "web"}
            for n, status in JOBS.items()
        ],
        "request": [
            {
                **{"job_id": n, "idx": idx, "custom_id": f"request-{idx + 1}", "line": idx + 1},
                **{"url": "/v1/chat/completions", "body": BODY},
            }
            for n in JOBS
            for idx in range(total[n])
        ],
        "result": results,
        "attempt": [
            {
                **{"job_id": n, "idx": idx, "number": 1, "started_at": T, "latency_ms": 50},
                **{"cause": "server_error", "http_status": 500, "message": "no", "group_key": "g"},
            }
            for n in JOBS
            for idx in (3, 4)
        ],
        "error_group": [
            {
                **{"job_id": n, "group_key": "g", "cause": "server_error", "http_status": 500},
                **{"message": "no", "attempts": 2, "first_at": T, "last_at": T, "failed": 2},
            }
            for n in JOBS
        ],
        "timeline": [
            {
                **{"job_id": n, "width": width, "t": T // 1000 // width * width, "sent": 5},
                **{"succeeded": 3, "failed": 2, "latency": blob, "cost_nano": 90},
            }
            for n in JOBS
            for width in (1, 10, 60, 3600)
        ],
        "override": [{"job_id": 1, "idx": 7, "config_id": 2, "timeout_s": 9.0}],
        "job_config": [{"job_id": 1, "config_id": 2}],
        "token": [{"name": "t", "secret_hash": "h", "last4": "abcd", "created_at": T}],
        "api_file": [{"purpose": "batch", "filename": "f.jsonl", "created_at": T, "bytes": 1}],
        "webhook": [{"url": "http://127.0.0.1:9/", "secret_encrypted": vault.encrypt("whsec_x")}],
        "worker": [{"id": "w1", "name": "one@here", "room": 8, "started_at": T, "beat_at": T}],
        "page": [{"job_id": 1, "first": 6, "last": 9, "worker_id": "w1"}],
        "lane": [{"job_id": 1, "worker_id": "w1", "live": ""}],
        "job_worker": [
            {"job_id": 1, "name": "one@here", "succeeded": 3, "failed": 2, "attempts": 6}
        ],
        "spend_block": [{"worker_id": "w1"}],
    }


def fill(connection, vault) -> None:
    """Insert rows into every table; one row of plain values into a table that is not listed
    here."""
    known = rows(vault)
    tables = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name != 'schema_migration' "
        "AND name NOT LIKE 'sqlite_%'"
    ).fetchall()
    for (table,) in tables:
        for given in known.get(table, [{}]):
            insert(connection, table, given)


def insert(connection, table: str, given: dict) -> None:
    """A row with what is given, as far as the table has such columns, and plain values where it needs
    more."""
    columns = connection.execute(f"PRAGMA table_info({table})").fetchall()
    row = {name: given[name] for _, name, *_ in columns if name in given}
    for _, name, kind, needed, default, key in columns:
        if name not in row and (needed or key) and default is None and name != "id":
            row[name] = _plain(kind, name)
    names, marks = ", ".join(f'"{name}"' for name in row), ", ".join("?" * len(row))
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(row.values()))


def _plain(kind: str, name: str):
    if kind.startswith(("VARCHAR", "TEXT", "CHAR")):
        return ""
    if kind == "BLOB":
        return b""
    return T if name.endswith("_at") else 1 if name.endswith("_id") else 0


def content(path, vault) -> frozenset:
    """All that the tables hold, with secrets in plain text; of users, whose times and passwords differ
    with each start, only names and roles."""
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE name != 'schema_migration'"
        ).fetchall()
        found = set(tables)
        for (name,) in [(name,) for name, sql in tables if sql and sql.startswith("CREATE TABLE")]:
            chosen = {"user": "name, role", "audit": "count(*)"}.get(name, "*")
            rows = connection.execute(f'SELECT {chosen} FROM "{name}"')
            columns = [column for column, *_ in rows.description]
            found |= {(name, *map(partial(_plain_text, vault), columns, row)) for row in rows}
    return frozenset(found)


def _plain_text(vault, column: str, value):
    return vault.decrypt(value) if column.endswith("_encrypted") and value else value


def counts(path) -> dict[str, int]:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return {
            name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
            for (name,) in names
            if name not in ("schema_migration", "sqlite_sequence")
        }


@pytest.fixture(scope="module")
def looked_at() -> set[frozenset]:
    """Contents of migrated databases that figures and pages were right for. Most steps change none of the
    rows, so that the databases before and after them become the same one."""
    return set()


@pytest.mark.skipif(postgres.CHOSEN, reason="no older step was ever on PostgreSQL")
@pytest.mark.parametrize("step", STEPS)
def test_a_filled_database_of_every_step_is_taken_up(step, overrides, instance, looked_at):
    instance.mkdir()
    path = instance / "simple_batch.db"
    old = peewee.SqliteDatabase(str(path), pragmas=PRAGMAS)
    Runner(old, str(MIGRATIONS)).up(step)
    with old.atomic():
        fill(old.connection(), open_vault(instance))
    old.close()
    before = counts(path)
    assert all(before.values()), before

    app = create_app(**overrides, PASSWORD="long enough")  # from the step on that knows users
    try:
        after = counts(path)
        assert {name: after[name] for name in before} == before
        held = content(path, open_vault(instance))
        client = app.test_client()
        assert send(client, "admin", "long enough").status_code == 303
        if held not in looked_at:
            _figures_are_right()
            _pages_answer(client)
            looked_at.add(held)
    finally:
        app.extensions["simple_batch"].close()


def _figures_are_right() -> None:
    with connected():
        for job_id, status in JOBS.items():
            found = insight.summary(job_id)
            assert found["status"] == status
            assert {name: found[name] for name in ENDED} == ENDED
            assert found["pending"] == (0 if job_id in DONE else LEFT)
            assert (found["tokens"]["cache_write"], found["tokens"]["estimated"]) == (0, 0)
            assert found["cost"]["amount"] == 90 / 1e9
            assert found["latency_ms"]["p50"] == pytest.approx(200, rel=0.02)
            assert found["errors"] == [{"cause": "server_error", "count": 2}]
            (group,) = insight.error_groups(job_id)
            assert (group["failed"], group["recovered"]) == (2, 0)
        assert len(configs.list_all()) == 2
        done = min(DONE)
        for form in export.FORMATS:
            whole = b"".join(export.export(done, form, "all"))
            assert whole, form
            if form == "jsonl":
                answers = [json.loads(line) for line in whole.splitlines()]
                assert [a["status"] for a in answers].count("succeeded") == 3
                assert answers[0]["response"]["choices"][0]["message"]["content"] == "because"


def _pages_answer(client) -> None:
    done = min(DONE)
    parts = ("", "/requests", "/requests/0", "/requests/3", "/errors", "/charts", "/settings")
    paths = [f"/jobs/{done}{part}" for part in parts]
    paths += [f"/jobs/{job_id}" for job_id in JOBS if job_id != done]
    others = ("jobs", "configs", "configs/1", "access", "storage", "metrics")
    paths += [f"/{path}" for path in others]
    paths += ["/v1/files", "/v1/batches"]
    for path in paths:
        answer = client.get(path)
        assert answer.status_code == 200 or path.startswith("/v1"), (path, answer.text[:500])
        assert answer.status_code < 500, (path, answer.text[:500])
        assert KEY not in answer.text
