"""The network between a worker and the shared servers stops silently, and recovers."""

from urllib.parse import urlsplit

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint
from .network_proxy import NetworkProxy
from .processes import asked, questions, wait_until


def test_a_worker_cut_off_from_the_database_is_done_without_and_comes_back(cluster):
    total = 1_600
    socket_path = str(cluster.postgres.folder / ".s.PGSQL.5432")
    with MisbehavingEndpoint(e.slow(0.3)) as endpoint, NetworkProxy(socket_path) as proxy:
        whole = urlsplit(cluster.database_url)
        proxied_url = (
            f"postgresql://{whole.username}:{whole.password}@127.0.0.1:{proxy.port}{whole.path}"
        )
        (near,) = cluster.start("near")
        wait_until(lambda: "coordinates" in near.output)
        (far,) = cluster.start("far", DATABASE_URL=proxied_url)
        job_id = cluster.under_way(endpoint, total, 20)
        proxy.cut()
        wait_until(lambda: "is dead: others take its pages" in near.output)
        proxy.restore()
        wait_until(lambda: "goes on as a new one" in far.output)
        cluster.wait_for(job_id, timeout_s=120.0)
    assert cluster.counted(job_id) == (total, total, total)
    assert max(asked(endpoint).values()) <= 2
    assert far.process.poll() is None


def test_a_worker_cut_off_from_redis_goes_on(cluster):
    total = 400
    redis = urlsplit(cluster.settings["SIMPLE_BATCH_REDIS_URL"])
    with (
        MisbehavingEndpoint(e.slow(0.2)) as endpoint,
        NetworkProxy((redis.hostname, redis.port)) as proxy,
    ):
        proxied_url = f"redis://127.0.0.1:{proxy.port}{redis.path}"
        cluster.start("near")
        cluster.start("far", REDIS_URL=proxied_url)
        job_id = cluster.under_way(endpoint, total, 20, 60)
        proxy.cut()
        cluster.wait_for(job_id)
        other = cluster.make_job(questions(total))
        wait_until(lambda: cluster.placed(other) == 2)  # assigned without Redis
        proxy.restore()
        cluster.wait_for(other)
    for each in (job_id, other):
        assert cluster.counted(each) == (total, total, total)
    assert endpoint.calls == 2 * total


def test_a_worker_without_a_share_claims_no_page(cluster):
    """The worker is cut off from Redis before its first exchange, and holds nothing that the other
    could send."""
    total = 200
    redis = urlsplit(cluster.settings["SIMPLE_BATCH_REDIS_URL"])
    with (
        MisbehavingEndpoint(e.slow(0.1)) as endpoint,
        NetworkProxy((redis.hostname, redis.port)) as proxy,
    ):
        proxy.cut()
        proxied_url = f"redis://127.0.0.1:{proxy.port}{redis.path}"
        cluster.start("far", REDIS_URL=proxied_url)
        cluster.add_config(endpoint.base_url, concurrency=20)
        narrow = cluster.make_job(questions(20), concurrency=1)
        wait_until(lambda: cluster.placed(narrow) == 1)  # its only allowed worker
        cluster.start("near")
        wide = cluster.make_job(questions(total))
        for job_id, count in ((narrow, 20), (wide, total)):
            cluster.wait_for(job_id)
            assert cluster.counted(job_id) == (count, count, count)
        assert endpoint.calls == total + 20
        proxy.restore()
