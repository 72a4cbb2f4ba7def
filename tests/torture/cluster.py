"""Workers without a share of the limits: cut off from Redis, or started while it is unreachable.
Real processes on a real PostgreSQL and Redis."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import redis

from simple_batch.engine.pool import SLACK
from tests import endpoint as e
from tests.cluster.network_proxy import NetworkProxy
from tests.cluster.processes import MISSING, Cluster, questions, wait_until
from tests.endpoint import MisbehavingEndpoint

TOTAL = 1_000
CONCURRENCY = 20
ANSWER_S = 0.1
RETRY_AFTER_S = 15


def throw() -> dict:
    """Run each scene; returns the findings by name."""
    if MISSING:
        return {"left_out": f"needs {' and '.join(MISSING)}", "scenes": {}}
    scenes = {
        "cut off before its first exchange": _cut_before_the_first_exchange,
        "cut off while its requests wait out a Retry-After": _cut_off_while_requests_wait,
        "Redis stopped, a second worker started": _started_without_redis,
        "Redis stopped, the only worker replaced": _replaced_without_redis,
    }
    return {"scenes": {name: _played(scene) for name, scene in scenes.items()}}


def _played(scene: Callable[..., dict]) -> dict:
    with (
        tempfile.TemporaryDirectory() as folder,
        Cluster(Path(folder) / "instance") as cluster,
        MisbehavingEndpoint(e.slow(ANSWER_S)) as endpoint,
    ):
        cluster.add_config(endpoint.base_url, concurrency=CONCURRENCY)
        job_id, called = scene(cluster, endpoint)
        succeeded, results, distinct = cluster.counted(job_id)
    found = {
        "lost": TOTAL - distinct,
        "twice": results - distinct,
        "counter_off": succeeded - TOTAL,
        "sent_again": endpoint.calls - called,
    }
    return {**found, "expected": not any(found.values())}


def _job(cluster: Cluster) -> int:
    return cluster.make_job(questions(TOTAL))


def _proxied_url(cluster: Cluster, proxy: NetworkProxy) -> str:
    """The URL of Redis through the proxy."""
    path = urlsplit(cluster.settings["SIMPLE_BATCH_REDIS_URL"]).path
    return f"redis://127.0.0.1:{proxy.port}{path}"


def _redis_proxy(cluster: Cluster) -> NetworkProxy:
    return NetworkProxy(("127.0.0.1", cluster.redis.port))


def _cut_before_the_first_exchange(cluster, endpoint) -> tuple[int, int]:
    with _redis_proxy(cluster) as proxy:
        proxy.cut()
        cluster.start("far", REDIS_URL=_proxied_url(cluster, proxy))
        job_id = _job(cluster)
        wait_until(lambda: cluster.placed(job_id) == 1)
        cluster.start("near")
        cluster.wait_for(job_id)
        proxy.restore()
    return job_id, TOTAL


def _cut_off_while_requests_wait(cluster, endpoint) -> tuple[int, int]:
    """The worker gave its share back before it is cut off, because it made no call for a while."""
    refusals = 2 * CONCURRENCY + SLACK  # as many as may wait in a pool
    later = e.http(500, b"{}", f"Retry-After: {RETRY_AFTER_S}")
    # the answer, and no failure guard: else a pool whose calls all fail makes few
    endpoint.script = [e.ok()] + [later] * refusals + [e.slow(ANSWER_S)]
    unguarded = {"SAME_FAILURE_FIRST": "0"}
    shares = redis.Redis.from_url(cluster.settings["SIMPLE_BATCH_REDIS_URL"])
    with _redis_proxy(cluster) as proxy:
        cluster.start("far", REDIS_URL=_proxied_url(cluster, proxy), **unguarded)
        job_id = _job(cluster)
        wait_until(lambda: endpoint.calls > refusals)
        wait_until(lambda: not shares.keys("simple-batch:budget:*:config:*:workers"))
        proxy.cut()
        cluster.start("near", **unguarded)
        cluster.wait_for(job_id)
        proxy.restore()
    return job_id, TOTAL + refusals


def _started_without_redis(cluster, endpoint) -> tuple[int, int]:
    cluster.start("first")
    job_id = _job(cluster)
    wait_until(lambda: endpoint.calls > TOTAL // 20)
    cluster.redis.stop()
    try:
        cluster.start("second")
        cluster.wait_for(job_id)
    finally:
        cluster.redis.start()
    return job_id, TOTAL


def _replaced_without_redis(cluster, endpoint) -> tuple[int, int]:
    """No worker knows the use of the limits: the job waits, says so, and continues with Redis."""
    (former,) = cluster.start("former")
    job_id = _job(cluster)
    wait_until(lambda: endpoint.calls > TOTAL // 20)
    cluster.redis.stop()
    try:
        (new,) = cluster.start("new")
        former.stop()
        new.wait_for("has no share of the limits")
        assert cluster.status(job_id) == "running"
    finally:
        cluster.redis.start()
    cluster.wait_for(job_id)
    return job_id, TOTAL
