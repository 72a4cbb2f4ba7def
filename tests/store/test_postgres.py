"""Differences between PostgreSQL and SQLite: types, connections, locks, texts."""

import logging

import gevent
import peewee
import psycopg
import pytest

from simple_batch import create_app
from simple_batch.core.call_prices import Prices
from simple_batch.core.clock import now_ms
from simple_batch.core.domain import Request, RequestResult, RequestStatus
from simple_batch.core.errors import DatabaseError
from simple_batch.runner.lease import ServerLease
from simple_batch.store import dialect, models, postgres_backend, requeue, results, search
from simple_batch.store import jobs as job_rows
from simple_batch.store import requests as request_rows
from simple_batch.store.database import (
    close_database,
    connected,
    is_transient,
    open_database,
    redacted_url,
    retry_while_unavailable,
    sqlite_path,
)
from simple_batch.store.latency_sketch import LatencySketch
from simple_batch.store.models import ApiConfig, Job, JobEvent, Result, Upload, database
from simple_batch.store.request_filter import RequestFilter

from .. import postgres
from ..conftest import wait_until

pytestmark = pytest.mark.skipif(postgres.programs() is None, reason="PostgreSQL is not installed")


@pytest.fixture
def url():
    """The URL of a fresh database with all tables, not open."""
    server = postgres.server()
    made = server.create(server.template)
    yield made
    close_database()
    server.drop(made)


@pytest.fixture
def opened(url):
    open_database(url, connections=4)
    with connected():
        yield url


def new_job(total: int = 0) -> int:
    now = now_ms()
    config = ApiConfig.create(
        alias="a", base_url="http://x/v1", model="m", timeout_s=0.1, created_at=now, updated_at=now
    )
    job = Job.create(
        name="j", config=config, status="running", max_retries=1, created_at=now, started_at=now
    )
    if total:
        request_rows.insert(job.id, [asked(index) for index in range(total)])
    return job.id


def test_each_statement_is_planned_with_its_values(opened):
    """A plan for any values would read a whole job for the few requests of a step."""
    asks = "SELECT idx FROM request WHERE job_id = ? AND idx > ? AND idx <= ?"
    for number in range(12):
        database.execute_sql(asks, (1, number, number + 20)).fetchall()
    (prepared,) = database.execute_sql("SELECT count(*) FROM pg_prepared_statements").fetchone()
    assert prepared == 0


def asked(index: int, body: bytes = b'{"messages":[]}', custom_id: str = "") -> Request:
    return Request(index, custom_id or f"r{index}", body, "/v1/chat/completions", index + 1)


def answered(job_id: int, index: int, response: bytes = b"{}", message: str = ""):
    now = now_ms()
    result = RequestResult(
        index=index,
        status=RequestStatus.SUCCEEDED,
        attempts=(),
        started_at=now - 5,
        finished_at=now,
        latency_ms=5,
        response=response,
        message=message,
    )
    return results.Recorded(job_id, "a", Prices("USD"), index, (), result)


def described(name: str) -> dict:
    """The columns, indexes and foreign keys of a table, in any order."""
    return {
        "columns": sorted(
            (column.name, column.data_type, column.null, column.primary_key)
            for column in database.get_columns(name)
        ),
        "indexes": sorted(
            (tuple(index.columns), index.unique, " WHERE " in index.sql)
            for index in database.get_indexes(name)
        ),
        "keys": sorted(
            (key.column, key.dest_table, key.on_delete) for key in database.get_foreign_keys(name)
        ),
    }


def tables() -> dict:
    names = [name for name in database.get_tables() if name != "schema_migration"]
    return {name: described(name) for name in names}


def test_the_migrations_make_exactly_the_tables_of_the_models():
    server = postgres.server()
    migrated, modelled = server.create(), server.create()
    applied = open_database(migrated)
    assert applied[0] == "0001_initial"
    with connected():
        found = tables()
    close_database()
    assert open_database(migrated) == []
    close_database()
    database.initialize(postgres_backend.postgres(modelled, 2))
    with connected():
        database.create_tables(models.ALL)
        expected = tables()
    close_database()
    for name, description in expected.items():
        assert found[name] == description, name
    assert found.keys() == expected.keys()
    for used in (migrated, modelled):
        server.drop(used)


def test_a_statement_is_translated_for_psycopg():
    output = dialect.for_postgres
    assert output("SELECT a % 7 FROM t WHERE b = ?") == ("SELECT a %% 7 FROM t WHERE b = %s", None)
    assert output("x = ?1 AND y = ?2 AND z = ?1 AND w = ?") == (
        "x = %s AND y = %s AND z = %s AND w = %s",
        (0, 1, 0, 2),
    )
    assert output("SELECT 1 FROM job WHERE id = %s") == ("SELECT 1 FROM job WHERE id = %s", None)
    assert output(f"SELECT 1 FROM job WHERE id = ? {dialect.LOCKING}")[0].endswith("UPDATE")


def test_answers_are_stored_byte_for_byte_and_texts_without_nul(opened):
    job_id = new_job()
    request_rows.insert(job_id, [asked(0, b'{"a":"\0"}', "id\0x")])
    raw = b'{"a":"\0\xff","b":"\xe4\xbd\xa0"}'
    results.write([answered(job_id, 0, raw, "\0half \ud83d of 你")])
    result = Result.get(Result.job == job_id)
    assert bytes(result.response) == raw
    assert result.message == "\N{REPLACEMENT CHARACTER}half \N{REPLACEMENT CHARACTER} of 你"
    body, custom_id = database.execute_sql(
        "SELECT body, custom_id FROM request WHERE custom_id = ?", ("id\0x",)
    ).fetchone()
    assert bytes(body) == b'{"a":"\0"}'
    assert custom_id == "id\N{REPLACEMENT CHARACTER}x"
    kept = requeue.replace_one(job_id, 0, b"{}")  # which copies the answer into a text
    assert kept


def test_sums_are_whole_numbers_and_times_are_exact(opened):
    job_id = new_job()
    Job.update(cost_nano=2**62).where(Job.id == job_id).execute()
    total = database.execute_sql("SELECT sum(cost_nano) + sum(cost_nano) FROM job").fetchone()[0]
    assert (total, type(total)) == (2**63, int)
    assert ApiConfig.get().timeout_s == 0.1


WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


def test_greenlets_have_a_connection_each_and_wait_together(opened):
    def wait() -> int:
        with connected(), database.atomic():
            return database.execute_sql(
                "SELECT pg_backend_pid() FROM pg_advisory_xact_lock_shared(7)"
            ).fetchone()[0]

    for callers in (3, 6):  # six are more than the pool has: the fourth is this test's
        database.execute_sql("SELECT pg_advisory_lock(7)")
        at_once = [gevent.spawn(wait) for _ in range(callers)]
        wait_until(lambda: database.execute_sql(WAITING).fetchone()[0] == 3)
        database.execute_sql("SELECT pg_advisory_unlock(7)")
        gevent.joinall(at_once, raise_error=True)
        assert len({greenlet.get() for greenlet in at_once}) == 3


def test_a_greenlet_that_is_killed_ends_and_its_transaction_with_it(opened):
    job_id = new_job()

    def work() -> None:
        with database.atomic():
            Job.update(name="changed").where(Job.id == job_id).execute()
            with database.atomic():
                database.execute_sql("SELECT pg_advisory_xact_lock(7)")

    database.execute_sql("SELECT pg_advisory_lock(7)")
    greenlet = gevent.spawn(retry_while_unavailable, work)
    wait_until(lambda: database.execute_sql(WAITING).fetchone()[0] == 1)
    greenlet.kill(timeout=20)
    assert greenlet.ready()
    assert isinstance(greenlet.value, gevent.GreenletExit)
    assert Job.get_by_id(job_id).name == "j"
    with gevent.Timeout(20):
        gevent.spawn(
            retry_while_unavailable, Job.update(name="next").where(Job.id == job_id).execute
        ).get()
    assert Job.get_by_id(job_id).name == "next"


@pytest.mark.parametrize(
    ("sql", "more"),
    [
        ("UPDATE job SET name = ? WHERE id = ?", ()),
        (
            "INSERT INTO job_event (reason, job_id, at, from_status, to_status, detail, actor) "
            "VALUES (?,?,?,?,?,?,?)",
            (0, "", "", "", ""),
        ),
    ],
    ids=["pipeline", "copy"],
)
def test_a_greenlet_ends_at_whatever_moment_of_many_statements_it_is_killed(opened, sql, more):
    """psycopg leaves its pipeline with an error then, which must not look like a server that is away."""
    job_id = new_job()
    rows = [(f"name {n}", job_id, *more) for n in range(20)]
    assert (dialect.as_copy(sql) is None) == sql.startswith("UPDATE")

    def writes():
        with connected(), database.atomic():
            database.executemany(sql, rows)

    def work():
        while True:
            retry_while_unavailable(writes)

    for number in range(60):
        greenlet = gevent.spawn(work)
        gevent.sleep(0.0007 * number % 0.01)
        with gevent.Timeout(10):
            greenlet.kill()
        assert isinstance(greenlet.value, gevent.GreenletExit)
        with connected():
            assert Job.get_by_id(job_id).name in ("j", rows[-1][0])
            assert JobEvent.select().count() % len(rows) == 0


def test_outcomes_written_by_several_at_once_count_once(opened):
    job_id = new_job(40)

    def write() -> None:
        with connected():
            for begin in range(0, 40, 10):
                results.write([answered(job_id, index) for index in range(begin, begin + 10)])

    gevent.joinall([gevent.spawn(write) for _ in range(3)], raise_error=True)
    job = Job.get_by_id(job_id)
    assert (job.succeeded, job.attempts, Result.select().count()) == (40, 40, 40)
    assert LatencySketch(job.latency).count == 40
    sent = database.execute_sql("SELECT sum(sent) FROM timeline WHERE width = 60").fetchone()[0]
    assert sent == 40


def test_a_result_that_comes_while_a_job_is_reset_is_counted_or_gone(opened):
    job_id = new_job(60)

    def write() -> None:
        with connected():
            for index in range(60):
                results.write([answered(job_id, index)])

    def reset() -> None:
        with connected():
            for _ in range(20):
                while not job_rows.clear_results_step(job_id):
                    pass

    gevent.joinall([gevent.spawn(write), gevent.spawn(reset)], raise_error=True)
    found = Result.select().where(Result.job == job_id).count()
    assert Job.get_by_id(job_id).succeeded == found


@pytest.mark.parametrize("trigrams", [True, False])
def test_searches_find_what_they_find_on_sqlite(opened, monkeypatch, trigrams):
    assert database.text_index  # Debian's package brings pg_trgm
    monkeypatch.setattr(database.obj, "text_index", trigrams)
    texts = ["Zürich 你好世界", "100% sure_thing", "back\\slash", "再见 WORLD", "world 'quoted'"]
    job_id = new_job()
    request_rows.insert(
        job_id, [asked(index, text.encode(), f"id-{index}") for index, text in enumerate(texts)]
    )
    search.want(job_id)
    while search.index_step(job_id, 2):
        pass
    table = f"text_of_job_{job_id}"
    assert (table in database.get_tables()) is trigrams
    expected = {"你好世": [0], "0% s": [1], "e_t": [1], "ck\\s": [2], "world": [3, 4], "'q": [4]}
    for text, indices in expected.items():
        conditions, values = RequestFilter(q=text).on_rows()
        rows = database.execute_sql(
            "SELECT r.idx FROM request r LEFT JOIN result x ON x.job_id = r.job_id AND "
            f"x.idx = r.idx WHERE r.job_id = ?{conditions} ORDER BY r.idx",
            (job_id, *values),
        )
        assert [index for (index,) in rows] == indices
        if trigrams:
            assert search.find(job_id, text, -1, 10) == (indices, False)
    search.drop(job_id)
    assert table not in database.get_tables()


def test_a_lease_is_held_by_one_and_its_loss_is_noticed(url):
    first, second = ServerLease(url), ServerLease(url)
    assert first.acquire()
    assert not second.acquire()
    assert second.held_elsewhere()
    assert not first.held_elsewhere()
    assert first.keep()
    cut(url)
    assert first.keep()  # it was the first to take it again
    assert not second.acquire()
    cut(url)
    assert second.acquire()
    assert not first.keep()  # another was
    assert not first.held
    second.release()
    assert first.acquire()
    first.release()


def cut(url: str) -> None:
    """End every connection that holds an advisory lock of the database, and wait for it."""
    with psycopg.connect(url, autocommit=True) as connection:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_locks WHERE locktype = 'advisory' AND "
            "granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        assert all(gone for (gone,) in ended)


def test_work_waits_while_the_server_is_away_and_other_errors_are_raised(opened, monkeypatch):
    monkeypatch.setattr("simple_batch.store.database.AGAIN_AFTER_S", 0.01)
    database.close()
    calls = []

    def work() -> int:
        calls.append(1)
        if len(calls) == 2:
            terminate_own()
        return database.execute_sql("SELECT 7").fetchone()[0]

    def terminate_own() -> None:
        database.execute_sql("SELECT pg_terminate_backend(pg_backend_pid())")

    assert retry_while_unavailable(work) == 7
    assert retry_while_unavailable(work) == 7
    assert len(calls) == 3
    with pytest.raises(peewee.ProgrammingError) as raised:
        retry_while_unavailable(
            database.execute_sql, "SELECT nothing FROM nowhere WHERE 1 = ?", (1,)
        )
    assert not is_transient(raised.value)
    database.connect()


SECRET = "planted-pw-1"


@pytest.mark.parametrize(
    "bad",
    [
        f"postgresql://tester:{SECRET}@127.0.0.1:9/db",
        f"postgresql://tester:{SECRET}@[::1/db",
        f"postgresql://tester:{SECRET}@x/db?nonsense={SECRET}",
        f"postgresql://tester:{SECRET}@x:nonsense/db",
        "missing",
        "latin",
    ],
)
def test_a_server_that_cannot_be_used_is_reported_without_the_password(
    bad, tmp_path, caplog, capfd
):
    caplog.set_level(logging.DEBUG)
    server = postgres.server()
    if bad == "missing":
        bad = server.url("there_is_none")
    elif bad == "latin":
        server.execute("DROP DATABASE IF EXISTS latin")
        server.execute(
            "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'",
        )
        bad = server.url("latin")
    with pytest.raises(DatabaseError, match="SIMPLE_BATCH_DATABASE_URL") as raised:
        create_app(INSTANCE_PATH=str(tmp_path), LOG_DIR=str(tmp_path / "logs"), DATABASE_URL=bad)
    assert raised.value.exit_code == 4
    close_database()
    logged = "".join(path.read_text() for path in (tmp_path / "logs").glob("*"))
    reply = f"{raised.value}{raised.value.__cause__}{caplog.text}{logged}{capfd.readouterr()}"
    assert SECRET not in reply


def test_a_url_is_shown_without_its_password():
    assert redacted_url("postgresql://u:p%40w@h:5432/db?x=1") == "postgresql://u@h:5432/db"
    assert redacted_url("postgresql://u:p@w@h/db") == "postgresql://u@h/db"
    assert redacted_url("postgresql:///db") == "postgresql:///db"
    assert SECRET not in redacted_url(f"postgres//u:{SECRET}@h/db")
    with pytest.raises(DatabaseError) as raised:
        sqlite_path(f"mysql://u:{SECRET}@h/db")
    assert SECRET not in str(raised.value)


def test_closing_breaks_off_the_queries_of_others(url):
    """A closed socket that a greenlet begins to wait for aborts the process."""
    open_database(url, connections=4)
    with connected():
        database.execute_sql("SELECT 1").fetchone()  # opens the connection that the query uses

    def query():
        with connected():
            database.execute_sql("SELECT pg_sleep(60)").fetchone()

    querying = gevent.spawn(query)
    gevent.sleep(0)  # it begins to wait; the loop has not looked at the socket yet
    close_database()
    with pytest.raises(peewee.OperationalError):
        querying.get(timeout=30)


def test_uploads_keep_booleans_and_defaults(opened):
    upload = Upload.create(path="p", filename="f" * 400, bytes=2**40, created_at=now_ms())
    assert Upload.get_by_id(upload.id).filename == "f" * 400  # no text has a bound
    job_id = new_job()
    job = Job.get_by_id(job_id)
    assert (job.skip_faulty, job.hold, job.ask_once) == (False, False, False)
