"""Tags of jobs: set at launch and later, for one job or several, and looked for."""

import json
import re

import pytest

from simple_batch import insight
from simple_batch.core.errors import InvalidInput
from simple_batch.services import job_options, job_tags, recipes
from simple_batch.services.tags import tags_of
from simple_batch.store.database import connected
from simple_batch.store.models import Job

from ..process import flask
from .test_form_keys import form_of


@pytest.fixture
def tagged(add_config, make_job):
    """Jobs with tags, by name."""
    add_config("http://127.0.0.1:9/v1")
    wanted = {
        "one": ("red", "100%"),
        "two": ("Red", "<b>bold</b>"),
        "three": ("reddish",),
        "none": (),
    }
    return {name: make_job(1, name=name, tags=tags) for name, tags in wanted.items()}


def listed(client, **filters) -> list[str]:
    page = client.get("/jobs", query_string=filters).text
    return sorted(re.findall(r'id="name-\d+"[^>]*>([^<]*)</a>', page))


def tags_of_job(job_id: int) -> str:
    with connected():
        return Job.get_by_id(job_id).tags


def test_tags_are_words_with_commas_between():
    assert tags_of(" a ,, b  c，A,\n") == ("a", "b c")
    assert tags_of("") == ()
    for bad in ("x" * 41, "a\0b", ",".join(map(str, range(21)))):
        with pytest.raises(InvalidInput) as refused:
            tags_of(bad)
        assert refused.value.field == "tags"


def test_jobs_are_filtered_and_searched_by_tag(client, tagged):
    assert listed(client, tag="red") == listed(client, tag="RED") == ["one", "two"]
    assert listed(client, tag="100%") == ["one"]
    assert listed(client, tag="%") == listed(client, tag="re") == []
    assert listed(client, tag="red", q="tw") == ["two"]
    assert listed(client, q="reddi") == ["three"]
    page = client.get("/jobs?tag=red").text
    assert "&lt;b&gt;bold&lt;/b&gt;" in page
    assert "<b>bold" not in page
    assert re.search(r"<option selected>red</option>", page)
    assert [job["name"] for job in client.get("/jobs/find?q=reddi").json["jobs"]] == ["three"]
    with connected():
        assert insight.job_tags() == ["100%", "<b>bold</b>", "red", "reddish"]


def tabs(page: str) -> dict[str, int]:
    """The number of jobs that each status tab says."""
    found = re.findall(r'id="status-(\w+)"[^>]*>[^<]*?(\d+)<', page)
    return {name: int(count) for name, count in found}


def test_status_tabs_count_what_their_links_list(client, tagged):
    with connected():
        Job.update(status="paused").where(Job.id == tagged["three"]).execute()
        Job.update(status="running").where(Job.id == tagged["none"]).execute()
        Job.update(status="cancelled").where(Job.id.in_([tagged["one"], tagged["two"]])).execute()
    for filters in ({"tag": "red"}, {"q": "reddi"}, {"config": "a"}, {"config": "b"}, {"q": "e"}):
        counts = tabs(client.get("/jobs", query_string=filters).text)
        assert counts.pop("all") == len(listed(client, **filters)) == sum(counts.values()), filters
        for status, count in counts.items():
            assert count == len(listed(client, **filters, status=status)), (filters, status)
    page = client.get("/jobs?tag=red").text
    assert tabs(page) == {"all": 2, "cancelled": 2}
    assert 'id="running-now"' not in page
    assert tabs(client.get("/jobs?tag=red&status=paused").text)["paused"] == 0


def test_the_tags_of_one_job_are_changed(client, tagged):
    place = f"/jobs/{tagged['one']}/tags"
    fields = form_of(client, f"/jobs/{tagged['one']}", place)
    assert client.post(place, data={**fields, "tags": "new, red"}).status_code == 303
    assert tags_of_job(tagged["one"]) == "new, red"
    client.post(place, data={**fields, "tags": "x" * 41})
    assert "up to 40 printable characters" in client.get("/jobs").text
    assert tags_of_job(tagged["one"]) == "new, red"
    with connected():
        assert "tags: red, 100% → new, red" in insight.events(tagged["one"])[-1]["detail"]
    client.post(place, data={**fields, "tags": ""})
    assert tags_of_job(tagged["one"]) == ""
    settings = form_of(client, f"/jobs/{tagged['two']}/settings")
    answer = client.post(
        f"/jobs/{tagged['two']}/settings", data={**settings, "tags": "by settings"}
    )
    assert answer.status_code == 303
    assert tags_of_job(tagged["two"]) == "by settings"


def test_the_tags_of_several_jobs_are_changed(client, tagged):
    fields = form_of(client, "/jobs", "/jobs/bulk")
    both = {"job": [tagged["three"], tagged["none"]], "csrf_token": fields["csrf_token"]}
    client.post("/jobs/bulk", data={**both, "action": "tag", "tags": "x, reddish"})
    assert [tags_of_job(job_id) for job_id in both["job"]] == ["reddish, x", "x, reddish"]
    client.post("/jobs/bulk", data={**both, "action": "untag", "tags": "X"})
    assert [tags_of_job(job_id) for job_id in both["job"]] == ["reddish", "reddish"]
    assert (
        client.post("/jobs/bulk", data={**both, "action": "tag", "tags": " , "}).status_code == 400
    )
    many = ", ".join(f"t{number}" for number in range(20))
    client.post("/jobs/bulk", data={**both, "action": "tag", "tags": many})
    assert [tags_of_job(job_id) for job_id in both["job"]] == ["reddish", "reddish"]
    assert "up to 20 for a job" in client.get("/jobs").text


def test_the_tags_of_a_job_are_changed_by_a_command(instance, app, tagged):
    job_id = str(tagged["one"])
    changed = flask(
        instance, "tag-job", job_id, "--add", "Night", "--remove", "RED", "--remove", "x"
    )
    assert (changed.returncode, changed.stderr) == (0, f"Job {job_id}: 100%, Night.\n")
    assert flask(instance, "tag-job", job_id).stdout == "100%\nNight\n"
    assert flask(instance, "tag-job", job_id, "--add", "x" * 41).returncode == 2
    assert flask(instance, "tag-job", "99", "--add", "x").returncode == 1
    assert tags_of_job(tagged["one"]) == "100%, Night"
    app.extensions["simple_batch"].close()


def test_copies_and_settings_files_keep_the_tags(tagged):
    with connected():
        chosen = job_options.of(Job.get_by_id(tagged["one"]))
        assert chosen.tags == ("red", "100%")
        kept = recipes.dump(chosen)
        assert json.loads(kept)["tags"] == "red, 100%"
        assert recipes.load(kept).tags == ("red", "100%")
        assert insight.summary(tagged["one"])["tags"] == ["red", "100%"]
        job_tags.add(tagged["one"], ("Red",))
        assert insight.summary(tagged["one"])["tags"] == ["red", "100%"]
