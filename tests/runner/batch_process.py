"""A process that runs the jobs of an instance with a FakeBatches beside it, and dies at a step."""

import time
from pathlib import Path

from simple_batch import create_app
from simple_batch.core.domain import FINAL_STATUSES
from simple_batch.engine.batch_api.batch_client import BatchLimits
from simple_batch.runner import batch_run
from simple_batch.runner.batch_clients import BatchClients
from simple_batch.store.database import connected
from simple_batch.store.models import Job

from .fake_batches import Dies, FakeBatches

SETTINGS = {
    "BATCH_POLL_FIRST": 0.01,
    "BATCH_POLL_MAX": 0.05,
    "BATCH_FIND_TRIES": 2,
    "BATCH_FIND_WAIT": 0.01,
    "REQUEST_CACHE_FLUSH_INTERVAL": 0.02,
}


def main(instance: str, database_url: str, provider: str, step: str) -> None:
    client = FakeBatches(Path(provider), Dies(step), BatchLimits(requests=5))
    BatchClients.of = lambda self, config: client  # type: ignore[method-assign]
    batch_run.LOOK_S = 0.01
    app = create_app(
        INSTANCE_PATH=instance, DATABASE_URL=database_url, LOG_DIR=f"{instance}/logs", **SETTINGS
    )
    app.extensions["simple_batch"].start()
    while True:
        time.sleep(0.05)
        with connected():
            if not Job.select().where(Job.status.not_in(FINAL_STATUSES)).exists():
                return
