"""The real program running one job: python -m bench.run_job INSTANCE JOB_ID [STREAM [CA]]
→ JSON {seconds, cpu_s, peak_mb}. It serves its pages meanwhile, on the port it prints first."""

from gevent import monkey

monkey.patch_all()

import gc
import json
import resource
import sys
import time

import gevent
from gevent.pywsgi import WSGIServer

from simple_batch import create_app
from simple_batch.services import jobs
from simple_batch.store.database import connected, database
from simple_batch.store.models import ApiConfig, Job

ENDED = ("completed", "paused", "failed", "cancelled")


def main(instance: str, job_id: int, stream: str = "never", ca: str = "") -> None:
    app = create_app(INSTANCE_PATH=instance, LOG_DIR="", LOG_LEVEL="WARNING", CA_BUNDLE=ca)
    services = app.extensions["simple_batch"]
    server = WSGIServer(("127.0.0.1", 0), app, log=None)
    server.start()
    print(server.server_port, flush=True)
    with connected():
        ApiConfig.update(stream=stream).execute()
        jobs.resume(job_id)
    gc.freeze()  # as simple_batch/serve.py does
    began, cpu = time.perf_counter(), time.process_time()
    services.start()
    found = _end_of(job_id)
    found |= {
        "seconds": time.perf_counter() - began,
        "cpu_s": time.process_time() - cpu,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(found), flush=True)
    server.stop(timeout=0.1)
    services.close()


def _end_of(job_id: int) -> dict:
    """Wait for the end of a job; a model of all its columns would cost more than the calls meanwhile."""
    rows = Job.select(Job.status, Job.succeeded).where(Job.id == job_id).dicts()
    sql, parameters = rows.sql()
    with connected():
        while True:
            gevent.sleep(0.02)
            status, succeeded = database.execute_sql(sql, parameters).fetchone()
            if status in ENDED:
                return {"status": status, "succeeded": succeeded}


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
