"""What tests stand on: a real database on disk, a real app, a real endpoint on a socket."""

from gevent import monkey

monkey.patch_all()

import json
from pathlib import Path

import pytest

from simple_batch import create_app, runtime, settings
from simple_batch.store.database import close_database, connected, open_database


@pytest.fixture
def instance(tmp_path: Path) -> Path:
    """A fresh instance folder."""
    return tmp_path / "instance"


@pytest.fixture
def overrides(instance: Path) -> dict:
    """Settings that differ from the defaults so that tests need not wait."""
    return {
        "INSTANCE_PATH": str(instance),
        "LOG_DIR": str(instance / "logs"),
        "REQUEST_CACHE_FLUSH_INTERVAL": 0.02,
        "BACKOFF_BASE": 0.01,
        "BACKOFF_MAX": 0.05,
        "CANCEL_GRACE": 1.0,
    }


@pytest.fixture
def db(instance: Path, overrides: dict):
    """An open database and runtime without an app; yields the settings."""
    loaded = settings.load(environ={}, **overrides)
    runtime.open_runtime(loaded)
    open_database(loaded.database_url)
    with connected():
        yield loaded
    close_database()


@pytest.fixture
def app(overrides: dict):
    """An app on a fresh instance; its runner is not started."""
    app = create_app(**overrides)
    app.config["TESTING"] = True
    yield app
    app.extensions["simple_batch"].close()


@pytest.fixture
def client(app):
    return app.test_client()


@pytest.fixture
def endpoint():
    """The demo's model endpoint on a real socket, answering at once and without faults."""
    from simple_batch import demo

    served = demo.start(latency=0.0, jitter=0.0, fail=0.0)
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
