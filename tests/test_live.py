"""What the live feed costs when very many listen."""

from simple_batch import live
from simple_batch.store.database import connected
from simple_batch.store.models import Job


def test_the_feed_slows_down_for_very_many_and_tells_comers_the_same(app, make_job, add_config):
    add_config("http://127.0.0.1:9/v1")
    job_id = make_job(3)
    feed = app.extensions["simple_batch_feed"]
    assert feed._pace_s() == live.TICK_S
    feed._running = True  # nobody is to be told
    for number in range(80):
        feed._watch(f"client-{number}", job_id, tail=False)
    assert feed._pace_s() == live.TICK_S
    for number in range(1000):
        feed._watch(f"client-{number}", job_id, tail=False)
    assert feed._pace_s() == 1000 * live.EVENTS * live.MESSAGE_S / live.SHARE > 2
    room = f"job-{job_id}"
    with connected():
        first = feed._snapshot(room, job_id)
        Job.update(succeeded=2).where(Job.id == job_id).execute()
        assert feed._snapshot(room, job_id) is first  # a moment later
        feed._emit("job.progress", job_id, {})
        assert feed._snapshot(room, job_id)["counts"]["succeeded"] == 2  # never older than an event
    feed._forget()
    assert not feed._snapshots


def test_events_are_not_compressed(app):
    seen = []
    app.view_functions["health.healthz"] = lambda: seen.append(dict(_headers())) or "ok"
    offer = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}
    app.test_client().get("/healthz", headers=offer)
    assert seen
    assert "Sec-Websocket-Extensions" not in seen[0]


def _headers():
    from flask import request

    return request.headers.items()
