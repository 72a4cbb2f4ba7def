"""The workbench over HTTP: sample rows, what is sent, versions, limits, launch, other users."""

import io
import json
import re
from decimal import Decimal

import pytest

from simple_batch.core import identity
from simple_batch.intake import Template
from simple_batch.services import prompt_versions, sample_rows, templates, trials, uploads
from simple_batch.services.sample_rows import Choice, numbers_of
from simple_batch.store import ratings
from simple_batch.store.database import connected
from simple_batch.store.models import ApiConfig, Job, PromptVersion, Spending, TriedAnswer, Upload
from simple_batch.web.filters import about_time
from simple_batch.web.word_diff import pieces

from .. import endpoint as e
from ..auth.conftest import log_in  # noqa: F401 (fixture)
from ..conftest import wait_until
from ..endpoint import MisbehavingEndpoint
from . import hostile

ROWS = "id,question,note\n" + "".join(
    f"{n},Why {n}?,{'' if n % 4 == 0 else 'x'}\n" for n in range(1, 41)
)


class Bench:
    """The workbench of an upload, as a browser without scripts uses it."""

    def __init__(self, client, upload_id: int):
        self.client, self.upload_id = client, upload_id
        self.url = f"/jobs/new/{upload_id}/workbench"

    def page(self) -> str:
        answer = self.client.get(self.url)
        assert answer.status_code == 200, answer.text
        return answer.text

    def fields(self, **changed) -> dict:
        """What the form says, with changes."""
        found = hostile.Forms(self.url, self.page()).found[f"{self.url}/launch"]
        return {**found, **{name: str(value) for name, value in changed.items()}}

    def post(self, action: str, accept: str = "application/json", **changed):
        fields = self.fields(**changed)
        return self.client.post(f"{self.url}/{action}", data=fields, headers={"Accept": accept})

    def run(self, **changed) -> dict:
        """Run, and wait for the end."""
        answer = self.post("run", **changed)
        assert answer.status_code == 200, answer.text
        wait_until(lambda: self.ended())
        return answer.json

    def ended(self) -> bool:
        with connected():
            return prompt_versions.running(self.upload_id) is None

    def options_step(self) -> str:
        """The address of the step with the options, reached by sending the step of the template."""
        step = f"/jobs/new/{self.upload_id}/template"
        fields = hostile.Forms(step, self.client.get(step).text).found[step]
        return self.client.post(step, data=fields).location

    def states(self) -> list[str]:
        return re.findall(r'data-state="(\w+)"', self.page())


@pytest.fixture
def bench(client):
    with connected():
        upload = uploads.stage(io.BytesIO(ROWS.encode()), "t.csv")
    return Bench(client, upload.id)


def rows_of(upload_id: int, **choice) -> list[int]:
    with connected():
        upload, found = uploads.staged(upload_id)
        return [row.number for row in sample_rows.rows_of(upload, found, Choice(**choice))]


def test_sample_rows_are_chosen_in_each_way(bench):
    assert rows_of(bench.upload_id) == [1, 2, 3, 4, 5]
    assert rows_of(bench.upload_id, mode="empty", count=3) == [4, 8, 12]
    assert rows_of(bench.upload_id, mode="picked", rows="40, 3 5-6") == [40, 3, 5, 6]
    assert rows_of(bench.upload_id, mode="picked", rows="99999") == []
    random = rows_of(bench.upload_id, mode="random", count=6, seed=7)
    assert random == rows_of(bench.upload_id, mode="random", count=6, seed=7)
    assert random != rows_of(bench.upload_id, mode="random", count=6, seed=8)
    assert len(random) == 6


@pytest.mark.parametrize("text", ["", "x", "0", "-1", "1e3", "3-"])
def test_what_is_no_row_number_is_refused(text):
    with pytest.raises(Exception, match="Rows"):
        numbers_of(text)


def test_only_what_changed_is_sent(bench, add_config):
    with MisbehavingEndpoint(e.ok()) as endpoint:
        add_config(endpoint.base_url, input_price=Decimal("1"), output_price=Decimal("2"))
        assert bench.states() == ["unsent"] * 5
        assert bench.run(user="Say: {{question}}", count=3)["version"] == 1
        assert endpoint.calls == 3
        assert bench.states() == ["answered"] * 3
        again = bench.post("run").json
        assert again["version"] is None
        assert "Nothing has changed" in again["message"]
        bench.run(count=4)  # one row more
        assert endpoint.calls == 4
        bench.run(user="{% if id == '2' %}Short: {% endif %}{{question}}", system="Be kind.")
        assert endpoint.calls == 8
        bench.run(user="{% if id == '2' %}Brief: {% endif %}{{question}}")  # row 2 alone is another
        assert endpoint.calls == 9
        assert endpoint.bodies[-1]["messages"][-1]["content"] == "Brief: Why 2?"
        bench.run(temperature="0.5")  # in each body
        assert endpoint.calls == 13
        bench.run(again=1)
        assert endpoint.calls == 17
    with connected():
        versions = prompt_versions.listed(bench.upload_id)
        assert [version.sent for version in versions] == [4, 4, 1, 4, 1, 3]
        assert versions[0].costs == {"USD": 4 * (7 * 1_000 + 3 * 2_000)}
        assert sum(row.tried_nano for row in Spending.select()) == 17 * 13_000


def test_connections_are_compared_and_change_places(bench, add_config):
    with MisbehavingEndpoint(e.ok()) as one, MisbehavingEndpoint(e.says("other")) as two:
        first, second = (
            add_config(one.base_url),
            add_config(two.base_url, alias="second", model="m2"),
        )
        bench.run(count=2, config=first.id, compare_1=second.id, model="special")
        assert (one.calls, two.calls) == (2, 2)
        assert {body["model"] for body in one.bodies} == {"special"}
        assert {body["model"] for body in two.bodies} == {"m2"}
        assert "other" in bench.page()
        assert bench.post("apply", use=second.id).status_code == 303
        fields = bench.fields()
        assert (fields["config"], fields["compare_1"]) == (str(second.id), str(first.id))


def test_an_answer_says_what_it_is_worth(bench, add_config):
    behaviours = (e.says("cut", finish_reason="length"), e.error(400, "no such thing"))
    with MisbehavingEndpoint(*behaviours) as endpoint:
        add_config(endpoint.base_url, concurrency=1)
        bench.run(count=2)
        page = bench.page()
        assert 'data-outcome="cut_off"' in page
        assert "no such thing" in page
        calls = endpoint.calls
        bench.run()  # the failed one alone
        assert endpoint.calls == calls + 1


def test_a_schema_is_checked_and_is_part_of_what_is_asked(bench, add_config):
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    with MisbehavingEndpoint(e.says({"a": "x"}), e.says({"b": 1})) as endpoint:
        add_config(endpoint.base_url, concurrency=1)
        bench.run(count=2, schema=json.dumps(schema))
        assert 'data-outcome="schema"' in bench.page()
        calls = endpoint.calls
        bench.run(count=2, schema=json.dumps(schema))  # these are answers, and paid for
        assert endpoint.calls == calls
        assert "time unknown" not in bench.post("estimate", schema=json.dumps(schema)).text
        assert "response_format" in endpoint.bodies[0]
        calls = endpoint.calls
        bench.run(schema="")
        assert endpoint.calls == calls + 2


def test_versions_are_compared_and_restored(bench, add_config):
    with MisbehavingEndpoint(e.says("one"), e.says("two")) as endpoint:
        add_config(endpoint.base_url)
        bench.run(count=1, user="Old words {{question}}", temperature="0.1")
        bench.run(user="New words {{question}}", temperature="")
        page = bench.client.get(f"{bench.url}/compare?a=1&b=2").text
        words = re.sub(r"<span[^>]*>[^<]*</span>", "", page)
        assert "<del>Old</del><ins>New</ins> words {{question}}" in words
        assert "one" in page
        assert "two" in page
        token = {"csrf_token": bench.fields()["csrf_token"]}
        done = bench.client.post(f"{bench.url}/restore", data={**token, "number": "1"})
        assert done.status_code == 303
        fields = bench.fields()
        assert (fields["user"], fields["temperature"]) == ("Old words {{question}}", "0.1")
        assert bench.states() == ["answered"]  # its answers are kept
        assert endpoint.calls == 2
        missing = bench.client.post(f"{bench.url}/restore", data={**token, "number": "9"})
        assert missing.status_code == 404
        assert bench.client.get(f"{bench.url}/compare?a=7").status_code == 404


def test_a_run_is_stopped(bench, add_config):
    with MisbehavingEndpoint(e.slow(60)) as endpoint:
        add_config(endpoint.base_url)
        assert bench.post("run", count=2).json["version"] == 1
        wait_until(lambda: endpoint.calls == 2)
        assert bench.states() == ["waiting"] * 2
        assert bench.post("run").status_code == 409  # one at a time
        assert bench.post("stop").json == {"stopped": True}
        wait_until(bench.ended)
        assert bench.states() == ["unsent"] * 2
        assert bench.post("stop").json == {"stopped": False}
    with connected():
        assert prompt_versions.listed(bench.upload_id)[0].state == "stopped"


def test_a_run_whose_process_ended_can_be_repeated(bench, add_config):
    with MisbehavingEndpoint(e.ok()) as endpoint:
        add_config(endpoint.base_url)
        bench.run(count=1)
        with connected():
            PromptVersion.update(ended_at=None, beat_at=1).execute()
            TriedAnswer.delete().execute()
        assert bench.states() == ["unsent"]
        assert bench.run()["version"] == 2


def test_spend_caps_and_concurrency_hold_for_tries(bench, add_config):
    with MisbehavingEndpoint(e.slow(0.05)) as endpoint:
        config = add_config(
            endpoint.base_url,
            input_price=Decimal("1"),
            output_price=Decimal("2"),
            concurrency=1,
            day_cap=Decimal("0.00003"),
        )
        bench.run(count=5)
        with connected():
            kept = trials.answers(bench.upload_id, [row.key for row in TriedAnswer.select()])
            answered = [answer for answer in kept.values() if answer.cause is None]
            assert 3 <= len(answered) <= 4  # 13,000 nano-units each
        refused = bench.post("run")
        assert refused.status_code == 400
        assert "spend cap" in refused.json["message"]
        with connected():
            ApiConfig.update(day_cap=None).where(ApiConfig.id == config.id).execute()
        bench.run()
        assert set(bench.states()) == {"answered"}


def test_a_run_without_scripts_leads_back_to_the_page(bench, add_config):
    with MisbehavingEndpoint(e.ok()) as endpoint:
        add_config(endpoint.base_url)
        answer = bench.post("run", accept="text/html", count=2, user="Hi {{question}}")
        assert (answer.status_code, answer.location) == (303, bench.url)
        wait_until(bench.ended)
        page = bench.page()
        assert page.count('data-state="answered"') == 2
        assert "Hi {{question}}" in page
        answer = bench.post("run", accept="text/html", user="{{nothing}}")
        assert answer.status_code == 400
        assert "nothing" in answer.text


def test_the_figures_narrow_with_tries(bench, add_config):
    with MisbehavingEndpoint(e.ok()) as endpoint:
        add_config(endpoint.base_url, input_price=Decimal("1"), output_price=Decimal("2"))
        before = bench.post("estimate").text
        assert "40 rows" in before
        assert "time unknown" in before
        bench.run()
        after = bench.post("estimate").text
        assert "time unknown" not in after
        assert "≈ $0.0005" in after  # 40 × 13,000 nano-units


def test_the_time_is_a_range_until_a_concurrency_is_set(bench, add_config):
    def time(**changed) -> str:
        page = bench.post("estimate", **changed).text
        return re.sub(r"\s+", " ", re.search(r"·([^<]*)</span>", page)[1]).strip()

    with MisbehavingEndpoint(e.slow(0.5)) as endpoint:
        add_config(endpoint.base_url)
        bench.run()
        assert re.fullmatch("≈ [23] s – [45] s", time())  # 40 rows, 5 at once at first
        assert re.fullmatch("≈ [12] s", time(concurrency=20))


def test_the_preview_shows_mistakes_and_keeps_the_rows(bench, add_config):
    add_config("http://127.0.0.1:9/v1")
    page = bench.post("preview", user="{{qestion}}").text
    assert "question" in page
    assert 'id="prompt-1"' in page
    page = bench.post("preview", user="Say {{question}}", mode="random", count=2).text
    assert "Say Why " in page
    assert bench.post("preview", mode="picked", rows="x").status_code == 200
    assert bench.post("preview", params="[").status_code == 200


def test_a_draft_goes_on_in_either_place(bench, client, add_config):
    add_config("http://127.0.0.1:9/v1")
    assert bench.post("draft", user="Typed {{question}}", name="job name").status_code == 200
    step = f"/jobs/new/{bench.upload_id}/template"
    assert "Typed {{question}}" in client.get(step).text
    fields = hostile.Forms(step, client.get(step).text).found[step]
    fields |= {"user": "Changed {{question}}", "part": "template"}
    assert client.post(f"{bench.url}/open", data=fields).location == bench.url
    assert "Changed {{question}}" in bench.page()
    assert bench.fields()["name"] == "job name"
    assert "job name" in client.get(bench.options_step()).text
    assert bench.url in client.get("/jobs/new").text  # the drafts to go on with


def test_options_that_are_not_shown_stay(bench, client, add_config):
    add_config("http://127.0.0.1:9/v1")
    options = bench.options_step()
    fields = hostile.Forms(options, client.get(options).text).found[options]
    client.post(f"{options}/draft/options", data={**fields, "priority": "1", "ask_once": "y"})
    bench.post("draft", temperature="0.3")
    with connected():
        draft = json.loads(Upload.get_by_id(bench.upload_id).draft)["parts"]["options"]["values"]
    assert (draft["priority"], draft["temperature"]) == (["1"], ["0.3"])


def test_two_tabs_do_not_replace_each_other(bench, add_config):
    add_config("http://127.0.0.1:9/v1")
    tab_1, tab_2 = bench.fields(user="one {{question}}"), bench.fields(user="two {{question}}")
    assert bench.client.post(f"{bench.url}/draft", data=tab_1).status_code == 200
    refused = bench.client.post(f"{bench.url}/draft", data=tab_2)
    assert refused.status_code == 409
    tab_2["draft_version"] = str(refused.json["version"])
    assert bench.client.post(f"{bench.url}/draft", data=tab_2).status_code == 200


def test_a_launch_makes_the_job_of_all_rows(bench, add_config):
    add_config("http://127.0.0.1:9/v1")
    answer = bench.post("launch", user="Say {{question}}", name="from the bench", max_tokens=7)
    assert answer.location == "/jobs/1"
    with connected():
        job = Job.get_by_id(1)
        assert (job.name, json.loads(job.params)) == ("from the bench", {"max_tokens": 7})
        assert "Say {{question}}" in job.template
    assert "was launched" in bench.page()


def test_a_launch_with_a_mistake_keeps_what_was_typed(bench, add_config):
    add_config("http://127.0.0.1:9/v1")
    answer = bench.post("launch", user="Say {{qestion}}")
    assert answer.status_code == 400
    assert "Say {{qestion}}" in answer.text
    assert '<div id="tries-errors"></div>' in answer.text  # what is wrong is said on top
    assert bench.post("launch", spend_cap="-1").status_code == 400


def test_the_prompt_is_saved_as_a_template(bench, add_config):
    add_config("http://127.0.0.1:9/v1")
    assert bench.post("save-as", user="Kept {{question}}", template_name="mine").status_code == 303
    with connected():
        version = templates.find("mine")
        assert templates.template_of(version).user == "Kept {{question}}"
    assert bench.post("save-as", template_name="").status_code == 400


def test_chat_files_are_tried_as_they_are(client, add_config):
    lines = [{"messages": [{"role": "user", "content": f"question {n}"}]} for n in range(1, 9)]
    with connected():
        text = "".join(json.dumps(line) + "\n" for line in lines)
        upload = uploads.stage(io.BytesIO(text.encode()), "t.jsonl")
    bench = Bench(client, upload.id)
    with MisbehavingEndpoint(e.ok()) as endpoint:
        add_config(endpoint.base_url)
        bench.run(mode="picked", rows="8 2", temperature="0.2")
        said = {body["messages"][0]["content"] for body in endpoint.bodies}
        assert said == {"question 2", "question 8"}
        assert bench.post("launch").location == "/jobs/1"


def test_a_finished_job_opens_with_its_failed_rows(client, app, add_config, tmp_path):
    from simple_batch.services import job_creation, jobs
    from simple_batch.store.models import Result

    add_config("http://127.0.0.1:9/v1")
    path = tmp_path / "t.csv"
    path.write_text(ROWS)
    template = Template(user="Say {{question}}", custom_id="id")
    with connected():
        options = jobs.JobOptions(config="test", template=template)
        job = job_creation.create_now(path, "t.csv", options)
        ended = (6, "failed", None), (2, "succeeded", "refused"), (4, "succeeded", "ok")
        for index, status, outcome in ended:
            Result.create(
                job=job.id,
                idx=index,
                status=status,
                outcome=outcome,
                config="test",
                attempts=1,
                finished_at=1,
            )
        Job.update(status="completed", finished_at=1).where(Job.id == job.id).execute()
        ratings.write(job.id, [4], "", ratings.Change(score=0))
    answer = client.get(f"/jobs/new?clone={job.id}&workbench=1")
    bench = Bench(client, int(answer.location.split("/")[3]))
    page = bench.page()
    assert re.findall(r'id="prompt-(\d+)"', page) == ["7", "5", "3", "1", "2"]
    assert "Say {{question}}" in page
    assert f"/jobs/new?clone={job.id}&amp;workbench=1" in client.get(f"/jobs/{job.id}").text


def test_a_saved_template_opens_with_a_table(client, add_config):
    add_config("http://127.0.0.1:9/v1")
    with connected():
        version, _new = templates.save("mine", Template(user="Saved {{question}}"))
    page = client.get(f"/templates/{version.saved_id}").text
    link = re.search(r'href="(/jobs/new\?[^"]*template[^"]*)"', page)[1].replace("&amp;", "&")
    start = client.get(link).text
    action = re.search(r'action="([^"]*)"[^>]*>\s*<input[^>]*csrf', start)[1].replace("&amp;", "&")
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', start)[1]
    answer = client.post(action, data={"csrf_token": token, "pasted": ROWS})
    assert answer.location.endswith("/workbench")
    assert "Saved {{question}}" in client.get(answer.location).text


def test_uploads_of_others_are_not_there(app, people, log_in, add_config):  # noqa: F811
    add_config("http://127.0.0.1:9/v1")
    with connected():
        identity.act_as(identity.Actor("otto", user=people["otto"]))
        upload = uploads.stage(io.BytesIO(ROWS.encode()), "t.csv")
        identity.act_as(identity.CLI)
    url = f"/jobs/new/{upload.id}/workbench"
    assert log_in("otto").get(url).status_code == 200
    assert log_in("olga").get(url).status_code == 404
    assert log_in("vera").get(url).status_code == 403
    assert log_in("vera").get(f"{url}/compare").status_code == 403


def test_what_an_upload_was_tried_on_goes_with_it(bench, add_config):
    with MisbehavingEndpoint(e.ok()) as endpoint:
        add_config(endpoint.base_url)
        bench.run()
    with connected():
        uploads.discard(Upload.get_by_id(bench.upload_id))
        assert (TriedAnswer.select().count(), PromptVersion.select().count()) == (0, 0)


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("a b c", "a x c", [("=", "a "), ("-", "b"), ("+", "x"), ("=", " c")]),
        ("same", "same", [("=", "same")]),
        ("", "new", [("+", "new")]),
        ("shorten", "shortly", [("-", "shorten"), ("+", "shortly")]),
        (
            "a: {{x}}",
            "a b: {{x}}{% if y %}",
            [("=", "a"), ("+", " b"), ("=", ": {{x}}"), ("+", "{% if y %}")],
        ),
        ("你好世界", "你们世界", [("=", "你"), ("-", "好"), ("+", "们"), ("=", "世界")]),
    ],
)
def test_words_that_differ(old, new, found):
    assert pieces(old, new) == found


def test_long_texts_are_compared_in_time():
    old = " ".join(f"w{n}" for n in range(20_000))
    found = pieces(old, old.replace("w1 ", "x1 ").replace("w19999", "y"))
    assert "".join(text for mark, text in found if mark != "+") == old


def test_launch_counts_what_is_sent(bench, add_config):
    add_config("http://127.0.0.1:9/v1")
    empty = {"system": "", "user": "{% if note %}{{question}}{% endif %}"}  # 10 of 40 have no note
    figures = bench.post("estimate", **empty).text
    assert "40 rows" in figures
    assert "10 rows are invalid and are not sent." in figures
    assert 'data-launch="Launch (30 requests)"' in figures
    assert bench.post("launch", **empty).status_code == 400  # it asks first
    assert "Launch (30 requests)" in bench.page()
    assert bench.post("launch", skip_faulty=1, **empty).location == "/jobs/1"
    with connected():
        assert json.loads(Job.get_by_id(1).upload.preview)["good"] == 30


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "< 1 s"), (0.9, "< 1 s"), (1, "1 s"), (59.4, "59 s"), (59.6, "1:00"), (3700, "1:01:40")],
)
def test_short_times_are_seconds(seconds, shown):
    assert about_time(seconds) == shown
