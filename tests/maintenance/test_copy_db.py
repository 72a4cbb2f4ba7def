"""A used installation moves to PostgreSQL and back, with real rows of every kind, real processes
and real kills."""

import contextlib
import csv
import io
import json
import signal
import sqlite3
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import openai
import peewee
import psycopg
import pytest
from playhouse.migrations import Runner

from simple_batch import create_app, export
from simple_batch.auth import tokens, users
from simple_batch.core.errors import DatabaseError, InvalidInput
from simple_batch.intake import Template
from simple_batch.runner.lease import lease_of
from simple_batch.services import database_copy, job_creation, jobs, templates
from simple_batch.services.job_options import ExtraConfig
from simple_batch.store import search
from simple_batch.store.database import (
    MIGRATIONS,
    PRAGMAS,
    close_database,
    connected,
    open_database,
)
from simple_batch.store.models import Job, TextIndex
from simple_batch.store.secrets import open_vault
from simple_batch.store.transfer import copy as copying
from simple_batch.store.transfer import endpoints

from .. import endpoint as e
from .. import postgres
from ..conftest import wait_until
from ..endpoint import MisbehavingEndpoint
from ..process import ROOT, environment, flask, served
from ..sample_images import png
from ..store.test_migrations import fill

pytestmark = [
    pytest.mark.skipif(postgres.programs() is None, reason="PostgreSQL is not installed"),
    pytest.mark.timeout(240),
]
SECRET = "planted-pw-1"  # in the URL of the harness
GATEWAY = "planted-gateway-1"  # a header and a query parameter of a connection
FORMS = ("json", "jsonl", "csv", "openai", "requests")  # those whose bytes say nothing of the day
REFERENCES = "SELECT conname FROM pg_constraint WHERE contype = 'f'"
HUNG_UP = (  # the server of a client that was killed would notice only after what it is at
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
SLOW_TRIGGER = """
CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_sleep(60); RETURN coalesce(NEW, OLD); END $$;
CREATE TRIGGER wait BEFORE {moment} FOR EACH ROW EXECUTE FUNCTION wait()
"""
ODD_TRIGGER = """
CREATE FUNCTION odd() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN IF NEW.idx = 3 THEN NEW.message := 'planted'; END IF; RETURN NEW; END $$;
CREATE TRIGGER odd BEFORE INSERT ON result FOR EACH ROW EXECUTE FUNCTION odd()
"""


@pytest.fixture
def database_url(instance):
    """A SQLite file in every run: it is the source of the copy."""
    return f"sqlite:///{instance / 'simple_batch.db'}"


@pytest.fixture
def target():
    """The URL of an empty database."""
    server = postgres.server()
    url = server.create()
    yield url
    close_database()
    server.drop(url)


@pytest.fixture
def filled(instance, database_url):
    """A file with rows in every table, made by plain SQL; returns its URL."""
    instance.mkdir()
    old = peewee.SqliteDatabase(str(instance / "simple_batch.db"), pragmas=PRAGMAS)
    Runner(old, str(MIGRATIONS)).up()
    with old.atomic():
        fill(old.connection(), open_vault(instance))
    old.close()
    return database_url


def copy(instance: Path, source: str, target: str, *more: str, **environ: str):
    return flask(instance, "copy-db", target, *more, SIMPLE_BATCH_DATABASE_URL=source, **environ)


def asked(url: str, query: str) -> list[tuple]:
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchall()


def done(url: str, statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statements)


def started(instance: Path, source: str, target: str) -> subprocess.Popen:
    """The command as a running process."""
    return subprocess.Popen(
        [sys.executable, "-m", "flask", "copy-db", target],
        cwd=ROOT,
        env=environment(instance, SIMPLE_BATCH_DATABASE_URL=source),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def waits(url: str, statement: str = 'COPY "result"%') -> bool:
    """Whether a copy is in the middle of this statement."""
    with psycopg.connect(url) as connection:
        query = (
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() "
            "AND state = 'active' AND query LIKE %s AND pid <> pg_backend_pid()"
        )
        return connection.execute(query, (statement,)).fetchone() is not None


# --- the whole way ----------------------------------------------------------------------------


def use(app, endpoint, tmp_path, wait_for, add_config, make_job) -> dict[str, int]:
    """Use the program as users do over weeks; returns some of the jobs by kind."""
    prices = {"input_price": Decimal(1), "output_price": Decimal("0.3")}
    add_config(
        endpoint.base_url,
        concurrency=4,
        secret_headers={"X-Gateway-Secret": GATEWAY},
        secret_query={"code": GATEWAY},
        **prices,
    )
    add_config(endpoint.base_url, alias="b", concurrency=2)
    made = {}
    services = app.extensions["simple_batch"]
    assert services.start() == "here"
    try:
        made["plain"] = make_job(60, params={"temperature": 0.25})
        made["spread"] = make_job(20, also=(ExtraConfig("b"),))
        for name in ("kept", "reused"):
            made[name] = make_job(12, reuse_hours=1.0)
            wait_for(made[name], "completed")
        made["once"] = _repeated(tmp_path)
        with connected():
            templates.save("mine", Template(user="{{q}}"), "first")
            made["images"] = _with_images(tmp_path)
        for job_id in made.values():
            wait_for(job_id, "completed")
        endpoint.script = [e.error(500, "it broke, 坏了"), e.error(400, "no"), e.ok()]
        made["failing"] = make_job(15, max_retries=1)
        wait_for(made["failing"], "completed")
        endpoint.script = [e.slow(0.05)]
        made["paused"] = make_job(200)
        wait_until(lambda: _succeeded(made["paused"]) >= 20)
        with connected():
            jobs.pause(made["paused"])
            users.create("anna", "the password of anna", "admin")
            users.create("otto", "the password of otto", "operator")
        wait_for(made["paused"], "paused")
    finally:
        services.stop()
    with connected():
        tokens.create("program")
        TextIndex.create(job=made["plain"], next_idx=60, finished_at=0)
    return made


def _succeeded(job_id: int) -> int:
    with connected():
        return jobs.get(job_id).succeeded


def _repeated(tmp_path: Path) -> int:
    path = tmp_path / "again.jsonl"
    one = json.dumps({"messages": [{"role": "user", "content": "the same"}]})
    path.write_text(f"{one}\n" * 9)
    with connected():
        return job_creation.create_now(
            path, path.name, jobs.JobOptions(config="test", ask_once=True)
        ).id


def _with_images(tmp_path: Path) -> int:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "größe.png").write_bytes(png(3, 3))
    with (folder / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [("q", "photo"), ("what?", "größe.png"), ("where?", "größe.png")]
        )
    template = Template(user="{{q}}", images=["{{photo}}"])
    path = folder / "t.csv"
    return job_creation.create_now(
        path, path.name, jobs.JobOptions(config="test", template=template)
    ).id


def exports(url: str, made: dict[str, int]) -> dict[tuple[str, str], bytes]:
    """Exports of the jobs in every format."""
    close_database()
    open_database(url)
    with connected():
        found = {
            (name, form): b"".join(export.export(job_id, form, "all"))
            for name, job_id in made.items()
            for form in FORMS
        }
    close_database()
    return found


def objects(instance: Path, url: str) -> dict:
    """The objects that OpenAI's client sees; creates a batch if there is none."""
    secret = _secret(instance, url)
    running = served(instance, SIMPLE_BATCH_DATABASE_URL=url)
    try:
        with openai.OpenAI(base_url=f"{running.url}/v1", api_key=secret, max_retries=0) as client:
            if not client.batches.list().data:
                _batch(client)
            batches = [batch.to_dict() for batch in client.batches.list().data]
            files = [file.to_dict() for file in client.files.list().data]
            texts = {file["id"]: client.files.content(file["id"]).text for file in files}
            return {"batches": batches, "files": files, "texts": texts}
    finally:
        assert running.stop() == 0


def _secret(instance: Path, url: str) -> str:
    kept = instance / "token-of-the-test"
    if not kept.exists():
        result = flask(instance, "create-token", "api", SIMPLE_BATCH_DATABASE_URL=url)
        assert result.returncode == 0, result.stderr
        kept.write_text(result.stdout.strip())
    return kept.read_text()


def _batch(client: openai.OpenAI) -> None:
    lines = [
        {
            **{"custom_id": f"c{n}", "method": "POST", "url": "/v1/chat/completions"},
            "body": {"model": "m", "messages": [{"role": "user", "content": f"about {n}"}]},
        }
        for n in range(5)
    ]
    data = io.BytesIO("".join(json.dumps(line) + "\n" for line in lines).encode())
    data.name = "in.jsonl"
    file = client.files.create(file=data, purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    wait_until(lambda: client.batches.retrieve(batch.id).status == "completed")


def test_a_used_installation_moves_there_and_back(
    *, app, instance, database_url, target, tmp_path, wait_for, add_config, make_job, questions
):
    with MisbehavingEndpoint(e.ok()) as endpoint:
        made = use(app, endpoint, tmp_path, wait_for, add_config, make_job)
        close_database()
        endpoint.script = [e.ok()]
        before = objects(instance, database_url)
        assert [len(before[name]) for name in ("batches", "files")] == [1, 2]
        files = exports(database_url, made)

        result = copy(instance, database_url, target, "--json")
        assert result.returncode == 0, result.stderr
        for moved_along in ("encryption.key", "secret headers", "prices.toml"):
            assert moved_along in result.stderr
        found = json.loads(result.stdout)
        rows = {table["table"]: table["rows"] for table in found["tables"]}
        assert rows["request"] == rows["result"] + 200 - _finished(database_url, made["paused"])
        assert found["different"] == found["changed"] == {"rows": 0, "first": []}
        assert asked(target, "SELECT count(*) FROM request")[0][0] == rows["request"]
        assert exports(target, made) == files
        assert objects(instance, target) == before
        assert all(GATEWAY.encode() not in secret for secret in _stored_secrets(target))
        _works(instance, target, made, endpoint)

        back = f"sqlite:///{tmp_path / 'back.db'}"
        again = exports(target, made)
        result = copy(instance, target, back)
        assert result.returncode == 0, result.stderr
        assert exports(back, made) == again
        assert objects(instance, back)["texts"] == before["texts"]


def _stored_secrets(url: str) -> list[bytes]:
    """What the copy has of the key and the secrets of the connection."""
    ((key, secrets),) = asked(
        url, "SELECT key_encrypted, secrets_encrypted FROM api_config WHERE id = 1"
    )
    assert key
    assert secrets
    return [bytes(key), bytes(secrets)]


def _finished(url: str, job_id: int) -> int:
    with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        query = f"SELECT count(*) FROM result WHERE job_id = {job_id}"
        return connection.execute(query).fetchone()[0]


def _works(instance: Path, url: str, made: dict[str, int], endpoint) -> None:
    """Checks that the paused job continues to its end with the key and the secrets of its connection,
    new rows get new numbers, and texts are found."""
    calls, left = endpoint.calls, 200 - _on_server(url, made["paused"])
    app = create_app(
        DATABASE_URL=url, INSTANCE_PATH=str(instance), LOG_DIR="", REQUEST_CACHE_FLUSH_INTERVAL=0.02
    )
    services = app.extensions["simple_batch"]
    assert services.start() == "here"
    try:
        with connected():
            jobs.resume(made["paused"])
        wait_until(lambda: _succeeded(made["paused"]) == 200)
        assert endpoint.calls == calls + left  # nothing is asked twice
        for head in endpoint.heads[calls:]:
            assert f"?code={GATEWAY} " in head
            assert f"x-gateway-secret: {GATEWAY}\r\n" in head.lower()
            assert "authorization: bearer sk-planted-0123456789\r\n" in head.lower()
        wait_until(lambda: _indexed(made["plain"]))
        with connected():
            assert search.find(made["plain"], "question 17", -1, 10) == ([16], False)
            assert Job.select().count() == Job.create(**_fields(made["plain"])).id - 1
    finally:
        services.close()


def _on_server(url: str, job_id: int) -> int:
    return asked(url, f"SELECT count(*) FROM result WHERE job_id = {job_id}")[0][0]


def _indexed(job_id: int) -> bool:
    with connected():
        return search.progress(jobs.get(job_id)) == 1


def _fields(job_id: int) -> dict:
    """The fields of a job like another one, finished."""
    job = Job.get_by_id(job_id)
    names = ("name", "config", "status", "max_retries", "created_at")
    return {name: getattr(job, name) for name in names}


# --- what goes wrong --------------------------------------------------------------------------


def test_every_table_is_copied_and_compared(instance, filled, target):
    result = copy(instance, filled, target, "--json")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert all(table["rows"] for table in found["tables"])
    assert len(found["tables"]) == len(endpoints.tables()) >= 23
    assert SECRET not in result.stdout + result.stderr
    assert str(instance) in result.stderr  # what else belongs to it
    assert "encryption.key" in result.stderr
    assert asked(target, "SELECT action, object FROM audit ORDER BY id DESC LIMIT 1") == [
        ("care.copy", found["target"])
    ]
    with psycopg.connect(target) as connection:  # whatever was dropped for speed is there again
        names = "SELECT indexname FROM pg_indexes WHERE schemaname = current_schema()"
        fresh = postgres.server().create(postgres.server().template)
        try:
            wanted = {*asked(fresh, names), *asked(fresh, REFERENCES)}
        finally:
            postgres.server().drop(fresh)
        assert {*connection.execute(names), *connection.execute(REFERENCES)} == {
            *wanted,
            *((name,) for (name,) in asked(target, names) if name.startswith("text_of_job_")),
        }


def test_a_target_with_rows_is_left_alone(instance, filled, target):
    open_database(target)
    close_database()
    assert copy(instance, filled, target).returncode == 0  # empty tables are as good as none
    result = copy(instance, filled, target)
    assert result.returncode == 1
    assert "holds rows already" in result.stderr
    assert SECRET not in result.stderr


@pytest.mark.parametrize(
    ("moment", "waiting", "jobs_there"),
    [
        ("INSERT ON result", 'COPY "result"%', 0),  # not even the tables before are there
        ("DELETE ON schema_migration", "DELETE FROM schema_migration%", 11),  # all is compared
    ],
)
def test_killed_anywhere_it_starts_again_and_no_process_works_on_the_half(
    moment, waiting, jobs_there, instance, filled, target
):
    open_database(target)
    close_database()
    done(target, SLOW_TRIGGER.format(moment=moment))
    process = started(instance, filled, target)
    wait_until(lambda: waits(target, waiting))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done(target, HUNG_UP)
    wait_until(lambda: not waits(target, waiting))
    assert asked(target, "SELECT count(*) FROM job") == [(jobs_there,)]
    refused = flask(instance, "list-jobs", SIMPLE_BATCH_DATABASE_URL=target)
    assert refused.returncode == 4
    assert "copy-db again" in refused.stderr
    assert SECRET not in refused.stderr
    done(target, "DROP FUNCTION wait CASCADE")
    result = copy(instance, filled, target)
    assert result.returncode == 0, result.stderr
    listed = flask(instance, "list-jobs", "--json", SIMPLE_BATCH_DATABASE_URL=target)
    assert len(json.loads(listed.stdout)) == 11


def test_interrupted_it_says_so_and_can_be_repeated(instance, filled, target):
    open_database(target)
    close_database()
    done(target, SLOW_TRIGGER.format(moment="INSERT ON result"))
    process = started(instance, filled, target)
    wait_until(lambda: waits(target))
    process.send_signal(signal.SIGINT)
    _, output = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Interrupted." in output
    assert "Traceback" not in output
    done(target, "DROP FUNCTION wait CASCADE")
    assert copy(instance, filled, target).returncode == 0


def test_a_difference_is_found_and_named(instance, filled, target):
    open_database(target)
    close_database()
    done(target, ODD_TRIGGER)
    result = copy(instance, filled, target, "--json")
    assert result.returncode == 1
    assert "result (job_id 1, idx 3) message: it differs" in result.stderr
    found = json.loads(result.stdout)
    assert found["different"]["rows"] == 11  # one of each job
    assert flask(instance, "list-jobs", SIMPLE_BATCH_DATABASE_URL=target).returncode == 4
    done(target, "DROP FUNCTION odd CASCADE")
    assert copy(instance, filled, target).returncode == 0


def test_rows_that_are_missing_or_too_many_are_named(filled, target):
    open_database(target)
    close_database()
    source, there = endpoints.connect(filled), endpoints.connect(target)
    source.reading(endpoints.tables())
    received = []
    copying.fill(source, there, received.append)
    done(target, "DELETE FROM request WHERE job_id = 2 AND idx = 4")
    done(target, "INSERT INTO error_group SELECT 3, 'a', 'c', 1, '', 1, 1, 1")
    tables, different = copying.check(source, there, received.append)
    assert {str(place) for place in different.first} == {
        "request (job_id 2, idx 4): the row is missing",
        "error_group (job_id 3, group_key a): the row is one too many",
    }
    assert sum(received) == 2 * sum(table.rows for table in tables)
    assert {t.table: t.different for t in tables if t.different} == {"request": 1, "error_group": 1}
    source.close()
    there.close()


def test_texts_that_postgresql_refuses_are_changed_and_named(instance, filled, target):
    with contextlib.closing(sqlite3.connect(instance / "simple_batch.db")) as connection:
        connection.execute(
            "UPDATE result SET message = 'a' || char(0) WHERE job_id = 2 AND idx = 4"
        )
        connection.execute("UPDATE job SET name = CAST(x'41eda080' AS TEXT) WHERE id = 5")
        connection.execute(
            "UPDATE upload_image SET name = CASE name WHEN '' THEN 'n' || char(0) ELSE name END"
        )
        connection.commit()
    result = copy(instance, filled, target)
    assert result.returncode == 0, result.stderr
    assert "3 rows had texts" in result.stderr
    assert "result (job_id 2, idx 4) message: it has U+FFFD now" in result.stderr
    assert "job (id 5) name" in result.stderr
    query = "SELECT message FROM result WHERE job_id = 2 AND idx = 4"
    assert asked(target, query) == [("a\ufffd",)]


def test_refused_while_a_process_uses_either(instance, filled, target, tmp_path):
    running = served(instance, SIMPLE_BATCH_DATABASE_URL=filled)
    try:
        result = copy(instance, filled, target)
        assert result.returncode == 1
        assert "stop it first" in result.stderr
    finally:
        running.stop()
    open_database(target)
    close_database()
    lease = lease_of(target)
    assert lease.acquire()
    result = copy(instance, filled, target)
    assert result.returncode == 1
    assert "stop it first" in result.stderr
    lease.release()
    with contextlib.closing(sqlite3.connect(instance / "simple_batch.db")) as reader:
        reader.execute("SELECT count(*) FROM job").fetchone()
        result = copy(
            instance, filled, target
        )  # a process without the lease, as one with pages alone
        assert result.returncode == 1
        assert "has" in result.stderr and "open: stop it first" in result.stderr


def test_no_process_starts_on_the_source_meanwhile(instance, filled, target):
    open_database(target)
    close_database()
    done(target, SLOW_TRIGGER.format(moment="INSERT ON result"))
    process = started(instance, filled, target)
    wait_until(lambda: waits(target))
    assert lease_of(filled).held_elsewhere()
    with pytest.raises(DatabaseError, match="locked"):
        open_database(filled)
    process.kill()
    process.communicate()
    done(target, HUNG_UP)


def test_urls_that_cannot_be_meant(db, target):
    for wrong, kind in (
        (f"mysql://u:{SECRET}@h/db", InvalidInput),
        (f"postgresql://u:{SECRET}@127.0.0.1:1/db", DatabaseError),
        (f"postgresql://u:{SECRET}@[h/db", DatabaseError),
        (f"postgresql://u:{SECRET}/x@127.0.0.1:1/db", DatabaseError),
        (f"postgresql://u:x@{SECRET}@127.0.0.1:1/db", DatabaseError),
        (target.replace("@/", "@/no_such_"), DatabaseError),
        (f"sqlite:///{db.instance}/./simple_batch.db", InvalidInput),
    ):
        with pytest.raises(kind) as raised:
            database_copy.move(wrong, lambda rows: pytest.fail("it begins"))
        assert SECRET not in str(raised.value)
    for wrong, code in (
        (f"postgres//u:{SECRET}@h/db", 2),
        (f"postgresql://u:{SECRET}@127.0.0.1:1/db", 4),
    ):
        result = copy(db.instance, db.database_url, wrong)
        assert result.returncode == code, result.stderr
        assert "Traceback" not in result.stderr
        assert SECRET not in result.stdout + result.stderr
    logs = "".join(path.read_text() for path in (db.instance / "logs").glob("*"))
    assert SECRET not in logs


def test_the_server_goes_away_in_the_middle(instance, filled):
    """It has a separate server, because other tests run beside it."""
    server = postgres.Server()
    target = server.create()
    open_database(target)
    close_database()
    done(target, SLOW_TRIGGER.format(moment="INSERT ON result"))
    process = started(instance, filled, target)
    wait_until(lambda: waits(target))
    server.stop()
    _, output = process.communicate(timeout=120)
    assert process.returncode == 4
    assert "Traceback" not in output
    assert "starts again" in output
    assert SECRET not in output
    server.start()
    done(target, "DROP FUNCTION wait CASCADE")
    assert copy(instance, filled, target).returncode == 0
