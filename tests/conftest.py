"""Shared fixtures: a real database on disk, a real app, a real endpoint on a socket."""

from gevent import monkey

monkey.patch_all()

import functools
import json
import tempfile
import time
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from gevent.util import format_run_info
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from simple_batch import create_app
from simple_batch.auth import passwords, users
from simple_batch.core import redaction, settings
from simple_batch.services import configs, demo_endpoint, job_creation, jobs, lifecycle
from simple_batch.store.database import close_database, connected, open_database

from . import compiled_once, postgres

compiled_once.share()
# By default an example that takes 0.2 s on a busy machine fails its test. Examples share the fixtures of
# their test, which each test allows for.
hypothesis_settings.register_profile(
    "suite",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
hypothesis_settings.load_profile("suite")
PASSWORDS = {name: f"the password of {name}" for name in ("anna", "otto", "olga", "vera")}
# hashing is slow on purpose: started processes hash as usual, the test process hashes fast
passwords._hasher = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
_hashed_once = functools.cache(passwords.hashed)
PATIENCE_S = 90.0  # for slow and busy machines
ROLES = {"anna": "admin", "otto": "operator", "olga": "operator", "vera": "viewer"}


@pytest.fixture
def instance(tmp_path: Path) -> Path:
    """A fresh instance folder."""
    return tmp_path / "instance"


@pytest.fixture
def database_url(instance: Path):
    """The URL of a fresh database: a file, or one on a PostgreSQL server where the run chose so."""
    if not postgres.CHOSEN:
        yield f"sqlite:///{instance / 'simple_batch.db'}"
        return
    url = postgres.url_of(instance)
    yield url
    postgres.server().drop(url)


@functools.cache
def _migrated() -> bytes:
    """A SQLite file with all tables, to be copied: creating them takes longer than most tests."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "simple_batch.db")
        open_database(f"sqlite:///{path}")
        close_database()
        return path.read_bytes()


def _prepare(instance: Path, database_url: str) -> None:
    if database_url == f"sqlite:///{instance / 'simple_batch.db'}":
        instance.mkdir(parents=True, exist_ok=True)
        (instance / "simple_batch.db").write_bytes(_migrated())


@pytest.fixture
def overrides(instance: Path, database_url: str) -> dict:
    """Settings that differ from the defaults so that tests need not wait."""
    return {
        "DATABASE_URL": database_url,
        "INSTANCE_PATH": str(instance),
        "LOG_DIR": str(instance / "logs"),
        "REQUEST_CACHE_FLUSH_INTERVAL": 0.02,
        "BACKOFF_BASE": 0.01,
        "BACKOFF_MAX": 0.05,
        "CANCEL_GRACE": 1.0,
    }


@pytest.fixture
def own_secrets():
    """Secrets of this test are not looked for in the texts of later ones."""
    known = dict(redaction._known)
    yield
    redaction._known.clear()
    redaction._known.update(known)


@pytest.fixture
def db(instance: Path, overrides: dict, own_secrets):
    """An open database and runtime without an app; yields the settings."""
    loaded = settings.load(environ={}, **overrides)
    _prepare(instance, loaded.database_url)
    lifecycle.open_context(loaded)
    open_database(loaded.database_url)
    with connected():
        yield loaded
    close_database()


@pytest.fixture
def app(instance: Path, overrides: dict, own_secrets):
    """An app on a fresh instance; its runner is not started."""
    _prepare(instance, overrides["DATABASE_URL"])
    app = create_app(**overrides)
    app.config["TESTING"] = True
    yield app
    app.extensions["simple_batch"].close()


@pytest.fixture
def client(app):
    return app.test_client()


@pytest.fixture
def people(app, monkeypatch):
    """Users in the database: an admin, two operators, a viewer; returns their ids by name."""
    with connected(), monkeypatch.context() as patched:
        patched.setattr(passwords, "hashed", _hashed_once)
        return {name: users.create(name, PASSWORDS[name], role).id for name, role in ROLES.items()}


@pytest.fixture
def endpoint():
    """The demo's model endpoint on a real socket, without delay or faults."""
    served = demo_endpoint.start(latency=0.0, jitter=0.0, fail=0.0)
    yield served
    served.stop()


@pytest.fixture
def questions(tmp_path: Path):
    """Writes a JSONL file of ``count`` requests; returns its path."""

    def write(count: int, **fields) -> Path:
        path = tmp_path / f"questions-{count}.jsonl"
        with path.open("w") as file:
            for n in range(1, count + 1):
                messages = [{"role": "user", "content": f"question {n}"}]
                file.write(json.dumps({"messages": messages, **fields}) + "\n")
        return path

    return write


@pytest.fixture
def add_config(app):
    """Stores a config for an endpoint; returns it."""

    def add(base_url: str, alias: str = "test", **fields):
        with connected():
            fields = {"model": "m", "key": "sk-planted-0123456789", "timeout_s": 30.0, **fields}
            return configs.create(configs.ConfigFields(alias=alias, base_url=base_url, **fields))

    return add


@pytest.fixture
def make_job(app, questions):
    """Makes a job of ``count`` requests on a config; returns its id."""

    def make(count: int, config: str = "test", **choices) -> int:
        with connected():
            path = questions(count)
            return job_creation.create_now(
                path, path.name, jobs.JobOptions(config=config, **choices)
            ).id

    return make


@pytest.fixture
def wait_for(app):
    """Waits until a job is in one of the given statuses; returns the job."""

    def wait(job_id: int, *statuses: str, timeout_s: float = PATIENCE_S):
        return wait_until(lambda: _in_status(job_id, statuses), timeout_s)

    return wait


def _in_status(job_id: int, statuses):
    with connected():
        job = jobs.get(job_id)
        return job if job.status in statuses else None


def _greenlets() -> str:
    """Where each greenlet of the program stands."""
    lines = "\n".join(format_run_info()).splitlines()
    return "\n".join(line for line in lines if "/simple_batch/" in line)


def wait_until(found, timeout_s: float = PATIENCE_S):
    """Wait until ``found()`` is true; returns its result, fails after the timeout."""
    end = time.monotonic() + timeout_s
    while True:
        result = found()
        if result:
            return result
        assert time.monotonic() < end, f"still {result!r} after {timeout_s} s\n{_greenlets()}"
        time.sleep(0.02)
