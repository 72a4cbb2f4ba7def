"""One form has one outcome, however often it is sent: at the same time, to another process, after a
restart."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from simple_batch.auth import tokens
from simple_batch.services import importer, templates, webhooks
from simple_batch.store.database import connected
from simple_batch.store.models import ApiConfig, IdempotencyKey, Job, Token, Upload
from simple_batch.web import form_keys

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint
from ..process import flask, served
from . import hostile

LINE = '{"messages": [{"role": "user", "content": "a question"}]}\n'
# forms that need no key: they create nothing, end in the same state, or remove their object
REPEATABLE = {
    "job_ratings.rate",
    "job_ratings.rate_all",
    "job_ratings.set_up",
    "job_results.change_view",
    "job_results.save_view",
    "access.remove_token",
    "access.remove_webhook",
    "access.revoke_token",
    "configs.activate",
    "configs.deactivate",
    "configs.delete",
    "configs.edit",
    "configs.forget",
    "configs.known_prices",
    "configs.models",
    "configs.streams_off",
    "configs.test",
    "configs.test_stored",
    "connect.models",
    "connect.prices",
    "connect.repair",
    "connect.report",
    "connect.use_base_url",
    "job_actions.change",
    "job_actions.delete",
    "job_actions.share",
    "job_settings.save",
    "job_tags.save",
    "storage.set_rules",
    "login.enter",
    "login.leave",
    "login.password",
    "new_draft.restore",
    "new_draft.save_options",
    "new_draft.save_template",
    "new_job.back",
    "new_job.discard",
    "new_job.load_recipe",
    "new_job.save_recipe",
    "new_job.upload",
    "new_template.add_images",
    "new_template.back",
    "new_template.choose_sheet",
    "new_template.save",
    "new_template.take",
    "reading_options.read",
    "saved_templates.delete",
    "saved_templates.rename",
    "storage.clean",
    "users.change",
    "workbench.apply",
    "workbench.enter",
    "workbench.estimate",
    "workbench.preview",
    "workbench.restore",
    "workbench.run",  # what has an answer is not sent again
    "workbench.save",
    "workbench.stop",
    "workbench_data.add_images",
    "workbench_data.choose_sheet",
    "workbench_data.correct",
    "workbench_data.load_recipe",
    "workbench_data.read",
    "workbench_data.save_recipe",
    "workbench_data.take",
}


def form_of(client, place: str, action: str = "") -> dict:
    """The fields of a form on a page as a browser would send them."""
    return dict(hostile.Forms(place, client.get(place).text).found[action or place])


@pytest.fixture
def place(app, client, add_config, endpoint):
    """The address of a staged upload's launch form."""
    add_config(endpoint.base_url)
    answer = client.post(
        "/jobs/new",
        data={"csrf_token": form_of(client, "/jobs/new")["csrf_token"], "pasted": LINE * 3},
    )
    return answer.location.removesuffix("/workbench")


def made() -> list[int]:
    with connected():
        return [job.id for job in Job.select().order_by(Job.id)]


def test_every_form_is_known(app):
    """A new form either has a key or a reason why it needs none."""
    posted = {
        rule.endpoint
        for rule in app.url_map.iter_rules()
        if "POST" in rule.methods and not rule.rule.startswith("/v1")
    }
    once = {name for name in posted if getattr(app.view_functions[name], "once", False)}
    assert posted - once == REPEATABLE


def test_a_launch_form_posted_twenty_times_makes_one_job(app, client, place):
    fields = form_of(client, place)
    answers = [client.post(place, data=fields) for _ in range(20)]
    assert {(answer.status_code, answer.location) for answer in answers} == {(303, "/jobs/1")}
    assert made() == [1]
    fresh = {**fields, "form_key": form_keys.new_key()}
    assert client.post(place, data=fresh).location == "/jobs/2"  # on purpose
    changed = {**fields, "name": "another"}
    assert client.post(place, data=changed).location == "/jobs/3"  # with Back, and changed
    assert client.post(place, data=fields).location == "/jobs/1"


def test_a_refused_form_is_posted_again_with_and_without_corrections(client, place):
    fields = {**form_of(client, place), "max_retries": "x"}
    for _ in range(2):
        assert client.post(place, data=fields).status_code == 400
    assert client.post(place, data={**fields, "max_retries": "3"}).location == "/jobs/1"
    with connected():
        assert IdempotencyKey.select().count() == 1


def test_a_form_without_a_key_is_taken_as_it_comes(client, place):
    fields = form_of(client, place)
    del fields["form_key"]
    assert [client.post(place, data=fields).location for _ in range(2)] == ["/jobs/1", "/jobs/2"]


def test_a_form_that_a_process_left_undone_is_not_done_twice(client, place, monkeypatch):
    fields = form_of(client, place)
    client.post(place, data=fields)
    with connected():
        IdempotencyKey.update(outcome=None, created_at=1).execute()
    answer = client.post(place, data=fields)
    assert answer.status_code == 409
    assert "nothing was repeated" in answer.text
    assert made() == [1]


def test_rows_are_tried_once_and_shown_twice(client, place):
    with MisbehavingEndpoint(e.ok()) as endpoint, connected():
        ApiConfig.update(base_url=endpoint.base_url).execute()
        fields = form_of(client, place)
        pages = [client.post(f"{place}/try", data=fields) for _ in range(5)]
        assert endpoint.calls == 3
    assert {page.text.count('data-tried="ok"') for page in pages} == {3}
    assert {page.headers["X-Frame-Options"] for page in pages} == {"DENY"}


def test_what_else_a_form_makes_is_made_once(client, place):
    with connected():
        templates.save("t", templates.intake.Template(user="a"), "")
    asked = {
        ("/access", "/access/tokens"): {"name": "one"},
        ("/access", "/access/webhooks"): {"url": "http://127.0.0.1:9/x", "token": "0"},
        ("/templates/new", "/templates/new"): {"name": "mine", "user": "x {{a}}"},
        ("/configs/new?form=full",) * 2: {"alias": "new", "base_url": "http://x/v1", "model": "m"},
    }
    for (page, action), more in asked.items():
        fields = {**form_of(client, page, action), **more}
        answers = [client.post(action, data=fields) for _ in range(3)]
        assert {(a.status_code < 400, a.location) for a in answers} == {(True, answers[0].location)}
        assert len({a.text for a in answers}) == 1, action  # the secret too
    with connected():
        assert [token.name for token in tokens.listed()] == ["one"]
        assert len(webhooks.listed()) == 1
        assert Token.select().count() == 1


def test_what_goes_on_with_a_job_is_done_once(client, place):
    job_id = int(client.post(place, data=form_of(client, place)).location.rpartition("/")[2])
    with connected():
        importer.import_upload(job_id)
        before = Upload.select().count()
    fields = form_of(client, f"/jobs/{job_id}/requests", f"/jobs/{job_id}/again")
    fields["status"] = "pending"
    answers = [client.post(f"/jobs/{job_id}/again", data=fields) for _ in range(4)]
    assert len({answer.location for answer in answers}) == 1
    with connected():
        assert Upload.select().count() == before + 1


@pytest.mark.parametrize("restart", [False, True])
def test_posts_at_the_same_time_to_two_processes_make_one_job(instance, restart, tmp_path):
    with MisbehavingEndpoint(e.ok()) as endpoint:
        flask(
            instance,
            "add-config",
            "t",
            "--base-url",
            endpoint.base_url,
            "--model",
            "m",
            "--key-stdin",
            stdin="sk-planted-0123456789\n",
        )
        servers = [served(instance), served(instance)]
        try:
            browser = requests.Session()
            browser.trust_env = False
            page = browser.get(f"{servers[0].url}/jobs/new").text
            token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)[1]
            sent = browser.post(
                f"{servers[0].url}/jobs/new", data={"csrf_token": token, "pasted": LINE}
            )
            bench = sent.url.removeprefix(servers[0].url)
            place = f"{bench}/launch"
            fields = hostile.Forms(bench, sent.text).found[place]

            def post(number: int) -> str:
                url = f"{servers[number % 2].url}{place}"
                answer = requests.post(
                    url, data=fields, cookies=browser.cookies, allow_redirects=False, timeout=60
                )
                return answer.headers["Location"]

            if restart:
                first = post(0)
                for server in servers:
                    server.stop()
                servers[:] = [served(instance), served(instance)]
                assert {post(0), post(1)} == {first}
            with ThreadPoolExecutor(20) as posting:
                assert set(posting.map(post, range(20))) == {"/jobs/1"}
            listed = flask(instance, "list-jobs").stdout.splitlines()
            assert len(listed) == 2  # with its head
        finally:
            for server in servers:
                server.stop()
