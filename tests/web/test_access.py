"""The page of tokens and webhooks, by a client without JavaScript; batches on a job's page."""

import re

import pytest

from simple_batch.auth import tokens
from simple_batch.services import jobs, webhooks
from simple_batch.store.database import connected
from simple_batch.store.models import Job, Token, Webhook

from .test_pages import post


@pytest.fixture
def page(client):
    return lambda: client.get("/access").text


def test_a_token_is_shown_once_revoked_and_removed(client, page):
    assert "No tokens yet" in page()
    made = post(client, "/access/tokens", name="nightly")
    secret = re.search(r"sb-[\w-]{43}", made.text)[0]
    assert made.headers["Cache-Control"] == "no-store"
    with connected():
        assert tokens.verified(secret).name == "nightly"
    shown = page()
    assert secret not in shown
    assert secret[-4:] in shown
    assert client.get("/v1/models").status_code == 401
    assert (
        client.get("/v1/models", headers={"Authorization": f"Bearer {secret}"}).status_code == 200
    )
    for wrong in ("nightly", "", "a\0b", "x" * 101):
        assert post(client, "/access/tokens", name=wrong).status_code == 400
    assert post(client, "/access/tokens/1/remove").status_code == 303
    assert "revoke it first" in page()
    assert post(client, "/access/tokens/1/revoke").status_code == 303
    assert "revoked" in page()
    assert post(client, "/access/tokens/1/remove").status_code == 303
    assert post(client, "/access/tokens/1/remove").status_code == 404
    with connected():
        assert Token.select().count() == 0


def test_a_webhook_is_made_and_removed(client, page):
    post(client, "/access/tokens", name="nightly")
    made = post(client, "/access/webhooks", url="https://example.com/h", token="1")
    assert re.search(r"whsec_[\w+/]{43}=", made.text)
    with connected():
        assert Webhook.get().token.name == "nightly"
    assert "https://example.com/h" in page()
    for wrong in ("ftp://x", "https://", "https://u:p@x.example", "javascript:alert(1)", ""):
        refused = post(client, "/access/webhooks", url=wrong, token="0")
        assert refused.status_code == 400
    assert post(client, "/access/webhooks/1/remove").status_code == 303
    with connected():
        assert webhooks.listed() == []


def test_without_its_form_token_nothing_is_made(client):
    for path in ("/access/tokens", "/access/webhooks", "/access/tokens/1/revoke"):
        assert client.post(path, data={"name": "x"}).status_code == 400


def test_a_job_of_the_batch_api_says_so(client, add_config, endpoint, make_job):
    add_config(endpoint.base_url)
    job_id = make_job(1)
    assert f"batch_{job_id}" not in client.get(f"/jobs/{job_id}/events").text
    with connected():
        token, _secret = tokens.create("nightly")
        Job.update(
            completion_window="24h",
            deadline_at=1_900_000_000_000,
            token=token,
            input_file_id="file-7",
            metadata='{"project": "<b>moon</b>"}',
        ).where(Job.id == job_id).execute()
        jobs.pause(job_id)
    shown = client.get(f"/jobs/{job_id}/events").text
    for expected in (f"batch_{job_id}", "file-7", "nightly", "2030-03-17", "&lt;b&gt;moon"):
        assert expected in shown
