"""flask demo: runs a batch without a key."""

import click

from ..services.demo_job import FAIL, prepare, start_endpoint
from .base import command, patched, run_patched, say
from .demo_run import finish, offer_environment
from .run import run_here


@command("demo")
@click.option("--requests", type=click.IntRange(1, 1_000_000), default=200, show_default=True)
@click.option("--fail", type=click.FloatRange(0, 1), default=FAIL, show_default=True)
def demo(requests, fail):
    """Run a job of example questions against the built-in demo endpoint."""
    if not patched():
        run_patched()
    offer_environment()
    endpoint = start_endpoint(fail)
    try:
        job = prepare(endpoint.base_url, requests)
        say(f"Job {job.id}: {job.total} questions from examples/questions.jsonl.")
        status = run_here(job.id, continues="python run.py")  # it serves the endpoint too
        path = finish(job, status)
        if path:
            say(f"Results: {path}")
            say(f"Look at it: python run.py, then http://127.0.0.1:7861/jobs/{job.id}")
        return status
    finally:
        endpoint.stop()


COMMANDS = (demo,)
