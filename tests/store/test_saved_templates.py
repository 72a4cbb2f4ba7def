"""Saved templates: names, versions that never change, and what jobs remember of them."""

import pytest

from simple_batch.core.errors import InvalidInput, NotFound
from simple_batch.intake import Template
from simple_batch.services import configs, job_creation, jobs, templates
from simple_batch.services.templates import label, save, template_of
from simple_batch.store.models import SavedTemplate, TemplateVersion

ONE = Template(user="{{q}}", system="Be brief.", parameters={"seed": 7}, custom_id="id")
TWO = Template(user="Why {{q}}?")


def test_saving_makes_versions_and_changes_none(db):
    first, is_new = save("  my \n summaries ", ONE, "the first", "cli")
    assert (label(first), is_new, first.note, first.actor) == (
        "my summaries@1",
        True,
        "the first",
        "cli",
    )
    assert save("my summaries", ONE, "again") == (first, False)
    second, _ = save("my summaries", TWO)
    third, _ = save("my summaries", ONE)  # as the first, but not as the newest
    assert [label(second), label(third)] == ["my summaries@2", "my summaries@3"]
    again, is_new = templates.restore(first.saved_id, 2)
    assert (label(again), again.restored_from, is_new) == ("my summaries@4", 2, True)
    assert templates.restore(first.saved_id, 2)[1] is False
    for wanted, template in (
        ("my summaries", TWO),
        ("my summaries@1", ONE),
        ("my summaries@2", TWO),
        ("my summaries@3", ONE),
    ):
        assert template_of(templates.find(wanted)) == template
    (kept,) = templates.listed()
    assert [version.number for version in kept.versions] == [4, 3, 2, 1]
    assert kept.newest == again
    assert templates.kept(first.saved_id).versions == kept.versions


def test_what_is_not_there_is_reported_with_what_is_nearest(db):
    def refused(wanted):
        with pytest.raises(NotFound) as wrong:
            templates.find(wanted)
        return str(wrong.value)

    assert refused("x") == "There is no saved template “x”: none is saved yet."
    save("summaries", ONE)
    save("titles", ONE)
    assert refused("sumaries@1").endswith("“sumaries”; the nearest is “summaries”.")
    assert refused("Title").endswith("the nearest is “titles”.")
    for number in ("2", "999999999"):
        assert refused(f"titles@{number}") == (
            f"“titles” has no version {number}: its newest is 1."
        )
    for wanted in ("titles@0", "titles@-1", "titles@", "titles@" + "9" * 5000):
        assert "There is no saved template" in refused(wanted)
    with pytest.raises(NotFound):
        templates.version(templates.named("titles"), 10**30)


@pytest.mark.parametrize(
    ("name", "note", "template", "field"),
    [
        ("", "", ONE, "name"),
        ("x" * 101, "", ONE, "name"),
        ("a\x00b", "", ONE, "name"),
        ("summaries@2", "", ONE, "name"),
        ("a", "n" * 201, ONE, "note"),
        ("a", "", Template(user="{{q"), "user"),
        ("a", "", Template(user="q", system="{{q|no}}"), "system"),
    ],
)
def test_what_is_not_valid_saves_nothing(db, name, note, template, field):
    with pytest.raises(InvalidInput) as wrong:
        save(name, template, note)
    assert wrong.value.field == field
    assert not SavedTemplate.select().exists()


def test_names_may_change_and_stay_each_others_own(db):
    first, _ = save("a@b", ONE)
    save("c", ONE)
    assert templates.find("a@b") == first
    with pytest.raises(InvalidInput, match="Another saved template is already named “c”"):
        templates.rename(first.saved_id, "c")
    assert templates.rename(first.saved_id, "a@b").name == "a@b"
    templates.rename(first.saved_id, "A")
    assert templates.find("A@1") == first
    assert [kept.saved.name for kept in templates.listed()] == ["A", "c"]
    with pytest.raises(NotFound):
        templates.rename(99, "x")


def test_a_job_keeps_its_own_copy_whatever_becomes_of_the_saved_one(db, tmp_path):
    fields = {"base_url": "http://127.0.0.1:9/v1", "model": "m"}
    configs.create(configs.ConfigFields(alias="one", **fields))
    (tmp_path / "t.csv").write_text("id,q\n1,a\n")
    version, _ = save("mine", ONE)
    new = jobs.JobOptions(config="one", template=ONE, saved=version.id, hold=True)
    made = [job_creation.create_now(tmp_path / "t.csv", "t.csv", new).id for _ in range(2)]
    assert {jobs.get(job_id).template_from for job_id in made} == {"mine@1"}
    assert jobs.clone_fields(made[0])[0].saved == version.id
    assert templates.listed()[0].used == 2
    jobs.delete(made[1])
    save("mine", TWO)
    kept = templates.kept(version.saved_id)
    assert [kept.jobs[each.id] for each in kept.versions] == [0, 1]

    before = jobs.get(made[0])
    templates.rename(version.saved_id, "yours")
    templates.remove(version.saved_id)
    after = jobs.get(made[0])
    assert (after.template, after.template_from) == (before.template, "mine@1")
    assert after.template_version_id is None
    assert not TemplateVersion.select().exists()
    with pytest.raises(NotFound):
        templates.remove(version.saved_id)
    # a version that is gone is no reason not to make a job
    assert job_creation.create_now(tmp_path / "t.csv", "t.csv", new).template_from == ""


def test_a_template_is_the_saved_one_however_a_form_writes_it_down(db):
    version, _ = save("mine", Template(user="a\r\n{{q}}", sheet="March"))
    for columns, named in ((["q"], ""), (["q", "custom_id"], "custom_id")):
        asked = Template(user="a\n{{q}}", custom_id=named)
        assert templates.origin(version.id, asked, columns) == version.id
    assert templates.origin(version.id, Template(user="a\n{{q}}!"), ["q"]) is None
    other = Template(user="a\n{{q}}", custom_id="q")
    assert templates.origin(version.id, other, ["q"]) is None
    assert templates.origin(99, asked, ["q"]) is None
    assert templates.origin(None, asked, ["q"]) is None
