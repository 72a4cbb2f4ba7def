"""Drafts of new jobs, by a client without JavaScript: what was typed comes back, Back and Discard throw
nothing away, and other users see none of it."""

# ruff: noqa: F811 - fixtures that are imported

import io
import json
import re
from html import unescape

import pytest

from simple_batch.services import drafts, jobs, uploads
from simple_batch.store.database import connected
from simple_batch.store.models import Job, Upload

from .. import endpoint as e
from .. import postgres
from ..auth.conftest import log_in  # noqa: F401 (fixture)
from ..endpoint import MisbehavingEndpoint
from .test_form_keys import form_of
from .test_pages import CONFIG, asked, config, post, token  # noqa: F401 (fixtures)
from .test_pages import staged as staged_lines
from .test_tables import TEMPLATE, staged

JSON = {"Accept": "application/json"}
BENCH = "/jobs/new/1/workbench"
HALF = {
    "system": "You help {{Customer Name}.",
    "user": "{{question}} \n and",
    "parameters": '{"a": ',
}
OPTIONS = {"config": "1", "name": "mine", "max_retries": "4"}


def shown(page: str, name: str) -> str:
    """What stands in a text field of a page."""
    area = re.search(rf'<textarea[^>]*name="{name}"[^>]*>\r?\n?(.*?)</textarea>', page, re.DOTALL)
    if area is not None:
        return unescape(area[1])
    return unescape(re.search(rf'<input[^>]*name="{name}"[^>]*value="([^"]*)"', page)[1])


def typed(client, place: str, part: str, **fields):
    """What the script of a page sends while a form is filled in."""
    form = form_of(client, place)
    upload = place.split("/")[3]
    return client.post(f"/jobs/new/{upload}/draft/{part}", data={**form, **fields}, headers=JSON)


def stored(upload_id: int = 1) -> str:
    with connected():
        return Upload.get_by_id(upload_id).draft


def listing(client) -> list[tuple[str, str]]:
    """(address, text) of the drafts on the page that starts a job."""
    page = client.get("/jobs/new").text
    found = re.findall(r'<li[^>]*data-draft.*?href="([^"]+)">(.*?)</div>', page, re.DOTALL)
    return [(url, " ".join(re.sub("<[^>]+>", " ", text).split())) for url, text in found]


def test_a_half_written_template_comes_back_from_the_list(client, config):
    place = staged(client, name="reviews.csv")
    answer = typed(client, place, "template", **HALF)
    assert (answer.status_code, answer.json) == (200, {"version": 1})
    [(url, text)] = listing(client)
    assert url == BENCH
    assert text.startswith(
        "Continue with reviews.csv just now · 4 rows · step: Workbench · deleted on"
    )
    for address in (url, place):
        page = client.get(address).text
        for name, given in HALF.items():
            assert shown(page, name) == given
        assert "Not valid JSON" in page  # as after sending it
    # the same again is no further version
    assert typed(client, place, "template", **HALF).json == {"version": 1}


def test_choices_that_are_not_valid_yet_come_back_as_typed(client, config):
    place = staged_lines(client, asked(1))
    given = {
        **OPTIONS,
        "concurrency": "many",
        "spend_cap": "1,5",
        "start_at": "2026-",
        "params": "{",
    }
    assert typed(client, place, "options", **given, schema='{"type": ').status_code == 200
    page = client.get(place).text
    for name in ("concurrency", "spend_cap", "start_at", "params", "name"):
        assert shown(page, name) == given[name]
    assert shown(page, "schema") == '{"type": '
    assert listing(client)[0][0] == BENCH
    # a step that is refused keeps them too
    assert post(client, place, **{**given, "concurrency": "lots"}).status_code == 400
    assert shown(client.get(place).text, "concurrency") == "lots"


def test_flags_and_choices_come_back(client, config):
    place = staged_lines(client, asked(1), asked(1))
    assert 'checked class="form-check-input" id="ask_once"' in client.get(place).text
    form = form_of(client, place)
    more = {"schema_retry": "y", "priority": "-1", "zone": "Asia/Shanghai", "hours": "22:00-06:00"}
    client.post("/jobs/new/1/draft/options", data={**form, **more}, headers=JSON)
    page = client.get(place).text
    assert 'checked class="form-check-input" id="schema_retry"' in page
    assert 'checked class="form-check-input" id="ask_once"' not in page
    assert '<option selected value="-1">' in page
    assert shown(page, "hours") == "22:00-06:00"


def test_back_keeps_everything_on_the_way_to_the_data_and_forth(client, config):
    place = staged(client)
    assert post(client, place, **TEMPLATE).headers["Location"] == "/jobs/new/1"
    assert post(client, "/jobs/new/1/back", **OPTIONS).headers["Location"] == place
    assert shown(client.get(place).text, "system") == TEMPLATE["system"]
    back = post(client, f"{place}/back", **HALF, custom_id="id")
    assert back.headers["Location"] == "/jobs/new"
    assert listing(client)[0][0] == BENCH
    page = client.get(place).text
    assert shown(page, "user") == HALF["user"]
    assert '<option selected value="id">' in page
    assert post(client, place, **TEMPLATE).status_code == 303
    assert shown(client.get("/jobs/new/1").text, "max_retries") == "4"
    assert listing(client)[0][0] == BENCH
    # data that is no table has no template: its step before is the data
    lines = staged_lines(client, asked(1))
    assert post(client, f"{lines}/back", **OPTIONS).headers["Location"] == "/jobs/new"


def test_a_discarded_upload_is_hidden_and_comes_back_with_undo(client, config):
    place = staged(client, name="reviews.csv")
    typed(client, place, "template", **HALF)
    done = post(client, "/jobs/new/1/discard")
    assert done.headers["Location"] == "/jobs/new?discarded=1"
    page = client.get(done.headers["Location"]).text
    assert "Discarded “reviews.csv”." in page
    assert "/jobs/new/1/draft/restore" in page
    assert listing(client) == []
    for address in (place, "/jobs/new/1", f"{place}?row=2"):  # with the browser's Back
        answer = client.get(address)
        assert answer.status_code == 200
        assert "You discarded “reviews.csv”." in answer.text
        assert "/jobs/new/1/draft/restore" in answer.text
    assert post(client, "/jobs/new/1/discard").status_code == 303  # once more, by a reload
    undone = post(client, "/jobs/new/1/draft/restore")
    assert undone.headers["Location"] == BENCH
    page = client.get(BENCH).text
    assert "Restored “reviews.csv”." in page
    assert shown(page, "system") == HALF["system"]
    assert "Discarded" not in client.get("/jobs/new?discarded=1").text
    assert post(client, "/jobs/new/1/draft/restore").headers["Location"] == BENCH


def test_a_step_sent_after_discarding_brings_the_upload_back(client, config):
    place = staged(client)
    form = form_of(client, place)
    post(client, "/jobs/new/1/discard")
    late = client.post("/jobs/new/1/draft/template", data={**form, "user": "late"}, headers=JSON)
    assert "was discarded" in late.json["notice"]
    assert listing(client) == []
    assert client.get("/jobs/new/1/draft").json == {"state": "discarded"}
    assert client.post(place, data={**form, **TEMPLATE}).headers["Location"] == "/jobs/new/1"
    assert "had been discarded. It is back." in client.get("/jobs/new/1").text
    assert len(listing(client)) == 1


def test_the_cleanup_removes_drafts_a_day_after_their_last_change(app, client, config, instance):
    place, lines = staged(client), staged_lines(client, asked(1))
    day = 86_400_000
    with connected():
        Upload.update(changed_at=Upload.changed_at - day - 1, created_at=1).execute()
    typed(client, place, "template", **HALF)
    with connected():
        uploads.discard_unlaunched()
        assert [upload.id for upload in Upload.select()] == [1]
        assert drafts.listed()[0].removed_at == Upload.get_by_id(1).changed_at + day
    assert client.get(lines).status_code == 404
    post(client, "/jobs/new/1/discard")
    with connected():
        uploads.discard_unlaunched()
        assert Upload.select().count() == 1  # the undo lasts as long
        Upload.update(changed_at=Upload.changed_at - day - 1).execute()
        uploads.discard_unlaunched()
    assert list((instance / "uploads").iterdir()) == []
    assert post(client, "/jobs/new/1/draft/restore").status_code == 404
    assert "Discarded" not in client.get("/jobs/new?discarded=1").text


def test_after_a_launch_the_steps_lead_to_the_job_or_to_a_new_draft(client, config):
    place = staged(client)
    post(client, place, **TEMPLATE)
    old = form_of(client, place)
    launch = {**form_of(client, "/jobs/new/1"), **OPTIONS, "hold": "1"}
    assert client.post("/jobs/new/1", data=launch).location == "/jobs/1"
    assert stored() is None
    assert listing(client) == []
    for address in ("/jobs/new/1", place):  # with the browser's Back
        page = client.get(address)
        assert page.status_code == 200
        assert "“t.csv” was launched as job 1, “mine”." in page.text
        assert 'href="/jobs/1"' in page.text
        assert 'href="/jobs/new?clone=1"' in page.text
    assert client.post("/jobs/new/1", data=launch).location == "/jobs/1"  # sent again
    assert client.get("/jobs/new/1/draft").json == {"state": "launched"}
    late = client.post("/jobs/new/1/draft/template", data={**old, "user": "x"}, headers=JSON)
    assert late.status_code == 409
    assert "was launched as job 1" in late.json["error"]
    # a template that is changed in a page of the history goes on in a new draft, which a double click
    # makes once
    for _ in range(2):
        changed = client.post(place, data={**old, **TEMPLATE, "system": "Other."})
        assert changed.location == "/jobs/new/2"
    page = client.get("/jobs/new/2").text
    assert "This is a new draft." in page
    assert "Other." in page
    with connected():
        assert json.loads(jobs.get(1).template)["system"] == TEMPLATE["system"]
    with connected():
        Job.update(deleted_at=1).execute()
    assert "“t.csv” was launched, and its job was deleted." in client.get("/jobs/new/1").text


def test_a_clone_is_a_draft_over_a_copy_of_the_data(app, client, config):
    place = staged_lines(client, asked(1), asked(2))
    more = {"temperature": "0.5", "concurrency": "7", "spend_cap": "2.5", "hours": "22:00-06:00"}
    assert post(client, place, **OPTIONS, **more, hold="1").location == "/jobs/1"
    bench = client.get("/jobs/new?clone=1").location
    assert bench == "/jobs/new/2/workbench"
    clone = "/jobs/new/2"
    page = client.get(clone).text
    assert shown(page, "name") == "mine (copy)"
    for name, given in more.items():
        assert shown(page, name) == given
    assert client.get("/jobs/new?clone=1").location == bench  # untouched: no further draft
    assert typed(client, clone, "options", **OPTIONS, concurrency="x").status_code == 200
    assert client.get("/jobs/new?clone=1").location == "/jobs/new/3/workbench"
    assert [url for url, _text in listing(client)] == ["/jobs/new/3/workbench", bench]
    # neither needs the first upload
    post(client, "/jobs/new/3/discard")
    with connected():
        jobs.remove_now(1)
        assert not Upload.select().where(Upload.id == 1).exists()
    assert shown(client.get(clone).text, "concurrency") == "x"
    with MisbehavingEndpoint(e.ok()) as endpoint:
        post(client, "/configs/1", **{**CONFIG, "base_url": endpoint.base_url})
        tried = post(client, f"{clone}/try", **OPTIONS).text
    assert tried.count('data-tried="ok"') == 2


def test_a_settings_file_fills_in_the_draft(client, config):
    place = staged_lines(client, asked(1))
    recipe = post(client, f"{place}/recipe", **{**OPTIONS, "name": "from a file"}).data
    typed(client, place, "options", **OPTIONS)
    fields = {"csrf_token": token(client), "recipe": (io.BytesIO(recipe), "r.json")}
    assert client.post(f"{place}/load", data=fields).status_code == 200
    assert shown(client.get(place).text, "name") == "from a file"


@pytest.mark.parametrize("part", ["template", "options"])
def test_two_tabs_do_not_overwrite_each_other_unseen(client, config, part):
    place = staged(client) if part == "template" else staged_lines(client, asked(1))
    name = "system" if part == "template" else "email"
    address = f"/jobs/new/1/draft/{part}"
    one, two = form_of(client, place), form_of(client, place)
    assert one["form_key"] != two["form_key"]

    def save(form, text, **more):
        return client.post(address, data={**form, name: text, **more}, headers=JSON)

    assert save(one, "first").json == {"version": 1}
    assert save(one, "first, longer").json == {"version": 2}  # a page is no conflict with itself
    refused = save(two, "second")
    assert (refused.status_code, refused.json["version"]) == (409, 2)
    assert "another tab" in refused.json["error"]
    assert shown(client.get(place).text, name) == "first, longer"
    # a step that is sent is refused once, with its text, and then replaces the other
    sent = client.post(f"{place}/back", data={**two, name: "second"})
    assert sent.status_code == 409
    assert "changed in another tab" in sent.text
    assert shown(sent.text, name) == "second"
    again = dict(re.findall(r'name="(draft_version|form_key)" value="([^"]+)"', sent.text))
    assert client.post(f"{place}/back", data={**two, **again, name: "second"}).status_code == 303
    assert shown(client.get(place).text, name) == "second"
    # and the script's “Keep this version”
    assert save(one, "third").json["version"] == 3
    assert save(one, "third", draft_version="3").json == {"version": 4}


def test_a_draft_is_its_owners_alone(app, people, log_in, add_config):
    add_config("http://127.0.0.1:9/v1")
    otto, olga, anna = log_in("otto"), log_in("olga"), log_in("anna")
    place = staged(otto, name="ottos.csv")
    typed(otto, place, "template", **HALF)
    assert listing(otto)[0][0] == BENCH
    for other in (olga, anna):  # an admin may open it, but has other drafts
        assert listing(other) == []
    assert olga.get("/jobs/new/1/draft").status_code == 404
    for path in (
        "draft/template",
        "draft/options",
        "draft/restore",
        "back",
        "template/back",
        "discard",
    ):
        assert post(olga, f"/jobs/new/1/{path}", **HALF).status_code == 404, path
    post(otto, "/jobs/new/1/discard")
    assert "ottos.csv" not in olga.get("/jobs/new?discarded=1").text
    assert olga.get(place).status_code == 404
    assert "ottos.csv" in otto.get("/jobs/new?discarded=1").text


def test_a_draft_holds_fields_of_its_form_alone(client, config, instance):
    place = staged_lines(client, asked(1))
    secret = "sk-planted-in-a-draft-0123456789"
    typed(client, place, "options", **OPTIONS, key=secret, api_key=secret, config_key=secret)
    post(client, f"{place}/back", **OPTIONS, key=secret)
    values = json.loads(stored())["parts"]["options"]["values"]
    assert not {"csrf_token", "form_key", "draft_version", "schema_file", "key"} & set(values)
    assert values["name"] == ["mine"]
    assert secret.encode() not in postgres.kept(instance)


def test_a_draft_too_large_is_refused_and_one_of_another_version_is_empty(client, config):
    place = staged_lines(client, asked(1))
    with connected(), pytest.raises(Exception, match="too much text"):
        drafts.save(1, "options", {"name": ["x" * (drafts.MAX_CHARACTERS + 1)]})
    with connected():
        Upload.update(draft='{"parts": [], "step": 1}').execute()
    assert client.get(place).status_code == 200
    assert typed(client, place, "options", **OPTIONS).json == {"version": 1}


def test_the_older_drafts_are_folded_and_other_uploads_are_no_drafts(client, config, make_job):
    for number in range(7):
        staged_lines(client, asked(number))
    make_job(1, config="one")
    page = client.get("/jobs/new").text
    assert "2 older drafts" in page
    assert page.index("/jobs/new/7") < page.index("/jobs/new/1")
    assert len(listing(client)) == 7


def test_the_listing_in_chinese(client, config):
    place = staged(client, name="reviews.csv")
    client.set_cookie("lang", "zh")
    text = listing(client)[0][1]
    assert text.startswith("继续 reviews.csv 刚刚 · 4 行 · 步骤：提示词工作台 · 将于")
    assert "‹ 上一步" in client.get(place).text
    assert "放弃此上传" in client.get(place).text
    post(client, "/jobs/new/1/discard")
    assert "撤销" in client.get(place).text


def test_a_scan_does_not_write_back_an_older_draft(client, config, monkeypatch):
    """A draft that is saved while a template is applied stays."""
    staged(client)
    scan = uploads.intake.scan

    def slow(*args, **kwargs):
        drafts.save(1, "template", {"user": ["typed meanwhile"]})
        return scan(*args, **kwargs)

    monkeypatch.setattr(uploads.intake, "scan", slow)
    with connected():
        uploads.apply_template(1, uploads.intake.Template(user="{{question}}"))
        assert drafts.load(uploads.staged(1)[0]).parts["template"].values["user"] == [
            "typed meanwhile"
        ]
