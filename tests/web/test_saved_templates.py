"""Saved templates on the pages, by a client without JavaScript."""

# ruff: noqa: F811 - fixtures that are imported

import html
import json
import re

import pytest

from simple_batch.intake import Template
from simple_batch.services import jobs, templates, uploads
from simple_batch.store.database import connected
from simple_batch.web.templates import COMPARED, differences

from .test_languages import ENGLISH, alerts, with_language
from .test_pages import config, post  # noqa: F401 (fixtures)
from .test_tables import SHEETS, TEMPLATE, staged

NESTED = f'{{"stop": {"[" * 900}"x"{"]" * 900}}}'  # deeper than recursion allows
FIRST = {**TEMPLATE, "parameters": '{"seed": 7}'}


def field(page: str, name: str) -> str:
    """What stands in a field of the form."""
    area = re.search(rf'<textarea[^>]* name="{name}"[^>]*>\r?\n(.*?)</textarea>', page, re.DOTALL)
    if area is None:
        area = re.search(rf'<input(?=[^>]* name="{name}")[^>]* value="([^"]*)"', page)
    return html.unescape(area[1]) if area is not None else ""


def saved(client, place: str, **fields) -> str:
    answer = post(client, f"{place}/save-as", **fields)
    assert answer.status_code == 303, alerts(answer.text)
    return answer.headers["Location"]


def test_saved_on_the_step_taken_by_the_next_job_and_remembered(client, config):
    place = staged(client)
    assert "Use this template" not in client.get(place).text  # there is none yet
    assert saved(client, place, **FIRST, name="tutor", note="the <first>") == (
        f"{place}?saved=1&version=1"
    )
    page = client.get(f"{place}?saved=1&version=1").text
    assert "Saved “tutor” as version 1." in page
    assert field(page, "system") == FIRST["system"]
    assert saved(client, place, **{**FIRST, "system": "New."}, name="tutor").endswith("version=2")
    assert saved(client, place, **{**FIRST, "system": "New."}, name="tutor").endswith("version=2")
    assert "Version 2 of “tutor” is identical" in client.get(place).text
    with connected():
        assert uploads.staged(1)[0].template is None  # saving does not continue to the next step

    place = staged(client)
    taken = post(client, f"{place}/saved", saved="1", version="1").headers["Location"]
    page = client.get(taken).text
    assert (field(page, "system"), field(page, "parameters")) == (FIRST["system"], '{"seed": 7}')
    assert "You help Ann." in page
    assert ">tutor@1</a>" in page
    origin = field(page, "origin")
    assert post(client, place, **FIRST, origin=origin).headers["Location"] == "/jobs/new/2"
    assert ">tutor@1</a>" in client.get(place).text  # when the user returns to the page
    launch = {"config": "1", "name": "n", "skip_faulty": "1", "hold": "1", "max_retries": "3"}
    assert post(client, "/jobs/new/2", **launch).headers["Location"] == "/jobs/1"
    assert 'href="/templates/1?version=1">tutor@1</a>' in client.get("/jobs/1").text
    assert ">tutor@1</a>" in client.get("/jobs/new?clone=1", follow_redirects=True).text

    # without a version the newest one; a changed template has no version
    place = staged(client)
    newest = post(client, f"{place}/saved", saved="1", version="").headers["Location"]
    page = client.get(newest).text
    assert field(page, "system") == "New."
    changed = {**FIRST, "system": "New!", "origin": field(page, "origin")}
    assert post(client, place, **changed).status_code == 303
    assert post(client, place.removesuffix("/template"), **launch).status_code == 303
    assert "tutor@" not in client.get("/jobs/2").text

    lists = client.get("/templates").text
    assert re.search(r"tutor</a>.*?text-end\">2<.*text-end\">1</td>", lists, re.DOTALL)
    assert post(client, "/templates/1/delete").headers["Location"] == "/templates"
    page = client.get("/jobs/1").text
    assert "tutor@1" in page
    assert "/templates/1" not in page
    with connected():
        assert json.loads(jobs.get(1).template)["system"] == FIRST["system"]
    assert post(client, f"{place}/saved", saved="1").headers["Location"] == place
    assert "There is no saved template 1." in client.get(place).text


@pytest.mark.parametrize(
    ("change", "english", "chinese"),
    [
        ({"name": ""}, "Template name: 1 to 100", "模板名称：1 到 100 个"),
        ({"name": "a@1"}, "text after @ would be read", "@ 后面的内容会被当作版本号"),
        ({"note": "n" * 201}, "Note: up to 200 printable", "备注：最多 200 个可打印字符。"),
        ({"user": "{{ question"}, "line 1 of the template", "模板第 1 行"),
        ({"parameters": NESTED}, "nested deeper than 100 levels", "嵌套超过 100 层"),
    ],
)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_wrong_field_is_reported_and_nothing_is_saved(
    client, config, language, change, english, chinese
):
    place = staged(with_language(client, language))
    given = {**FIRST, "name": "a", **change}
    for path in (f"{place}/save-as", "/templates/new"):
        answer = post(client, path, **given)
        assert answer.status_code == 400
        alert = alerts(answer.text)
        assert (english in alert, chinese in alert) == (language == "en", language == "zh"), alert
    with connected():
        assert templates.listed() == []


def test_the_pages_of_a_saved_template(client, config):
    new = {"name": "<b>t</b>", "system": "one\ntwo\nthree", "user": "{{q}}", "note": "<i>why</i>"}
    assert post(client, "/templates/new", **new).headers["Location"] == "/templates/1?version=1"
    edit = client.get("/templates/new?of=1&version=1").text
    assert (field(edit, "name"), field(edit, "system")) == ("<b>t</b>", new["system"])
    second = {**new, "system": "one\n2\nthree", "custom_id": "id", "note": ""}
    assert post(client, "/templates/new", **second).headers["Location"] == "/templates/1?version=2"

    page = client.get("/templates/1").text
    assert "<b>t" not in page
    assert "<i>why" not in page
    assert "From version 1 to version 2" in page
    gone, come = re.findall(r"<del>(.*?)</del>", page), re.findall(r"<ins>(.*?)</ins>", page)
    assert [re.sub(r"<[^>]+>", "", line) for line in gone] == ["−removed: two"]
    assert [re.sub(r"<[^>]+>", "", line) for line in come] == ["+added: 2", "+added: id"]
    assert "uses the columns" in page
    back = client.get("/templates/1?version=1&against=2").text
    assert "From version 2 to version 1" in back
    assert re.findall(r"<ins>.*?</span>(two)</ins>", back) == ["two"]
    assert "These versions are identical." in client.get("/templates/1?version=2&against=2").text
    file = client.get("/templates/1/file?version=1")
    assert json.loads(file.data) == {"user": "{{q}}", "system": new["system"]}
    assert "template.json" in file.headers["Content-Disposition"]

    assert post(client, "/templates/1/restore", version="1").headers["Location"].endswith("=3")
    page = client.get("/templates/1").text
    assert "restored from version 1" in page
    assert "version 3 (newest)" in page
    assert post(client, "/templates/1/restore", version="9").status_code == 404

    post(client, "/templates/new", **{**new, "name": "other"})
    refused = post(client, "/templates/1/rename", name="other")
    assert (refused.status_code, "Another saved template" in refused.text) == (400, True)
    assert post(client, "/templates/1/rename", name="better").status_code == 303
    assert "better" in client.get("/templates").text
    for path in ("/templates/9", "/templates/1?version=9", "/templates/1?against=-1"):
        assert client.get(path).status_code == 404
    question = "This permanently deletes 3 versions. 0 jobs were created with it"
    assert question in client.get("/templates/1").text


def test_the_pages_in_chinese(client, config):
    with_language(client, "zh")
    assert "还没有已保存的模板" in client.get("/templates").text
    for system in ("一", "二"):
        post(client, "/templates/new", name="模板", system=system, user="{{问题}}")
    place = staged(client)
    for path in ("/templates", "/templates/1", "/templates/new?of=1", place, "/jobs/new"):
        page = client.get(path).text
        assert "模板" in page
        main = re.sub(r"<(script|code|pre|option).*?</\1>|<[^>]+>", " ", page.split("<main")[1])
        assert not ENGLISH.search(main.split("<dialog")[0]), path
    assert "没有编号为 9 的已保存模板。" in client.get("/templates/9").text


def test_a_saved_template_takes_its_sheet_and_says_what_the_table_lacks(client, config):
    place = staged(client, SHEETS, "book.xlsx")
    post(client, f"{place}/sheet", sheet="More")
    saved(client, place, user="{{q}}", custom_id="n", name="of a sheet")
    place = staged(client, SHEETS, "book.xlsx")
    page = client.get(post(client, f"{place}/saved", saved="1").headers["Location"]).text
    assert "sheet “More”" in page
    assert "What?" in page
    place = staged(client)
    page = client.get(post(client, f"{place}/saved", saved="1").headers["Location"]).text
    assert "there is no column “q”; the nearest is “question”" in page
    assert field(page, "user") == "{{q}}"
    saved(client, place, user="{{question}}", custom_id="n", name="of a sheet")
    with connected():
        assert templates.template_of(templates.find("of a sheet@1")).sheet == "More"
    place = staged(client, "question\nWhy?\n")
    page = client.get(post(client, f"{place}/saved", saved="1").headers["Location"]).text
    assert "This table has no column “n”. Choose what to use as custom_id." in page


def test_differences_keep_to_what_is_near_and_to_what_can_be_compared():
    old = "\n".join(f"line {n}" for n in range(100))
    (change,) = differences(Template(user=old), Template(user=old.replace("line 50", "new")))
    assert [mark for mark, _line in change["lines"]] == ["…", *"   -+   ", "…"]
    assert differences(Template(user=old), Template(user=old)) == []
    (change,) = differences(Template(user="q"), Template(user="q", custom_id=""))
    assert change == {"field": "custom_id", "lines": [("+", '""')]}
    many = "a\n" * COMPARED
    (change,) = differences(Template(user="a"), Template(user=many))
    assert change["lines"][:2] == [("-", "a"), ("+", "a")]
