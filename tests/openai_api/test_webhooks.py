"""Webhooks at the end of batches: received on a real socket, verified by OpenAI's client."""

import json

import gevent
import openai
import pytest
from gevent.pywsgi import WSGIServer

from simple_batch.auth import tokens
from simple_batch.core import clock
from simple_batch.services import webhooks
from simple_batch.store.database import connected
from simple_batch.store.models import Delivery, Job, Webhook

from .. import endpoint as e
from ..conftest import wait_until
from ..endpoint import MisbehavingEndpoint
from .conftest import client_of, line, submit


class Receiver:
    """Answers with the given codes, the last one for all further requests; records the requests."""

    def __init__(self, *codes: int):
        self.codes = list(codes)
        self.got: list[tuple[dict, bytes]] = []
        self._server = WSGIServer(("127.0.0.1", 0), self._app, log=None)
        self._server.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"

    def _app(self, environ, start_response):
        headers = {
            name[5:].lower().replace("_", "-"): value
            for name, value in environ.items()
            if name.startswith("HTTP_")
        }
        self.got.append((headers, environ["wsgi.input"].read()))
        code = self.codes.pop(0) if len(self.codes) > 1 else self.codes[0]
        start_response(f"{code} X", [("Location", "http://127.0.0.1:1/")])
        return [b""]

    def close(self):
        self._server.stop(timeout=0.1)


@pytest.fixture
def receive():
    made = []

    def make(*codes: int) -> Receiver:
        made.append(Receiver(*codes))
        return made[-1]

    yield make
    for receiver in made:
        receiver.close()


def make_retries_due() -> None:
    """Make all waiting deliveries due now."""
    with connected():
        Delivery.update(next_at=clock.now_ms()).where(Delivery.next_at.is_null(False)).execute()


def test_every_end_is_sent_and_signed(client, add_config, receive):
    receiver = receive(200)
    with connected():
        _hook, secret = webhooks.create(receiver.url)
    with MisbehavingEndpoint(e.ok()) as endpoint:
        add_config(endpoint.base_url)
        done, bad = submit(client, [line("a")]), submit(client, ["{broken"])
        wait_until(lambda: len(receiver.got) == 2)
        endpoint.script = [e.slow(0.3)]
        stopped, late = (submit(client, [line(f"{n}") for n in range(99)]) for _ in range(2))
        client.batches.cancel(stopped.id)
        with connected():
            Job.update(deadline_at=clock.now_ms()).where(Job.id == int(late.id[6:])).execute()
        wait_until(lambda: len(receiver.got) == 4)
    reader = openai.OpenAI(api_key="x", webhook_secret=secret)
    events = [reader.webhooks.unwrap(body, headers) for headers, body in receiver.got]
    assert {(event.type, event.data.id) for event in events} == {
        ("batch.completed", done.id),
        ("batch.failed", bad.id),
        ("batch.cancelled", stopped.id),
        ("batch.expired", late.id),
    }
    assert {event.object for event in events} == {"event"}
    headers, body = receiver.got[0]
    assert json.loads(body)["id"] == headers["webhook-id"]
    with pytest.raises(openai.InvalidWebhookSignatureError):
        reader.webhooks.unwrap(body + b" ", headers)


def test_the_event_says_what_the_answers_are_worth_and_the_batch_stays_as_openai_has_it(
    client, add_config, receive
):
    receiver = receive(200)
    with connected():
        _hook, secret = webhooks.create(receiver.url)
    answers = [
        e.says("It begins", finish_reason="length"),
        e.says(None, message={"refusal": "I can't."}),
        e.says("<think>Hm.</think>fine", finish_reason="stop"),
        e.error(400, "bad"),
    ]
    with MisbehavingEndpoint(*answers) as endpoint:
        add_config(endpoint.base_url, concurrency=1)
        batch = submit(client, [line(name) for name in "abcd"])
        wait_until(lambda: receiver.got)
    headers, body = receiver.got[0]
    event = openai.OpenAI(api_key="x", webhook_secret=secret).webhooks.unwrap(body, headers)
    assert (event.type, event.data.id) == ("batch.completed", batch.id)
    assert json.loads(body)["simple_batch"] == {
        "outcome_status": "completed_with_failures",
        "total": 4,
        "succeeded": 3,
        "failed": 1,
        "cancelled": 0,
        "outcomes": {"ok": 1, "cut_off": 1, "refused": 1, "empty": 0, "tool_call": 0, "schema": 0},
        "cost": {"amount": None, "currency": "USD"},
        "saved": [],
    }
    done = client.batches.retrieve(batch.id)
    counts = done.request_counts
    assert (counts.total, counts.completed, counts.failed) == (4, 3, 1)
    assert not done.model_extra
    lines = client.files.content(done.output_file_id).text.splitlines()
    assert {frozenset(json.loads(one)) for one in lines} == {
        frozenset({"id", "custom_id", "response", "error"})
    }
    texts = [
        json.loads(one)["response"]["body"]["choices"][0]["message"]["content"] for one in lines
    ]
    assert texts == ["It begins", None, "<think>Hm.</think>fine"]


def test_a_receiver_that_fails_is_tried_again(client, add_config, receive, app):
    receiver = receive(500, 302, 204)
    with connected():
        webhooks.create(receiver.url)
    with MisbehavingEndpoint(e.ok()) as endpoint:
        add_config(endpoint.base_url)
        submit(client, [line("a")])
        for tries in (1, 2):
            wait_until(lambda tries=tries: _delivery().attempts == tries)
            waiting = _delivery()
            assert waiting.delivered_at is None
            assert waiting.next_at > clock.now_ms()
            page = app.test_client().get("/jobs/1/events").text
            assert "batch.completed" in page
            assert "next attempt at" in page
            make_retries_due()
        wait_until(lambda: _delivery().delivered_at)
    assert (_delivery().attempts, _delivery().http_status, _delivery().next_at) == (3, 204, None)
    assert len({headers["webhook-id"] for headers, _body in receiver.got}) == 1
    assert "delivered" in app.test_client().get("/jobs/1/events").text


def _delivery() -> Delivery:
    with connected():
        return Delivery.select().first() or Delivery(attempts=0)


def test_a_removed_receiver_gets_nothing_more(client, add_config, receive):
    receiver = receive(410)
    with connected():
        webhooks.create(receiver.url)
        webhooks.create("http://127.0.0.1:1/nobody")
    with MisbehavingEndpoint(e.ok()) as endpoint:
        add_config(endpoint.base_url)
        submit(client, [line("a")])
        wait_until(lambda: receiver.got)
        submit(client, [line("a")])
        wait_until(lambda: client.batches.retrieve("batch_2").status == "completed")

    def undelivered() -> list[str]:
        with connected():
            return [one.message for one in Delivery.select().where(Delivery.webhook == 2)]

    unreachable = "the receiver cannot be reached (ConnectionError)"
    wait_until(lambda: undelivered() == [unreachable] * 2)
    gevent.sleep(1.2)  # one more round
    assert len(receiver.got) == 1
    with connected():
        assert Webhook.get_by_id(1).disabled_at is not None


def test_a_webhook_of_a_token_hears_of_its_batches_alone(server, add_config, receive, make_job):
    receiver, everything = receive(200), receive(200)
    with connected():
        token, secret = tokens.create("first")
        _other, other = tokens.create("second")
        webhooks.create(receiver.url, token)
        webhooks.create(everything.url)
    with MisbehavingEndpoint(e.ok()) as endpoint:
        add_config(endpoint.base_url)
        make_job(1)
        submit(client_of(server, other), [line("a")])
        mine = submit(client_of(server, secret), [line("a")])
        wait_until(lambda: len(everything.got) == 3 and receiver.got)
    assert [json.loads(body)["data"]["id"] for _headers, body in receiver.got] == [mine.id]
