"""The cleanup rules as admins change them on the page Storage."""

import re

import pytest

from simple_batch import create_app
from simple_batch.core.errors import InvalidInput
from simple_batch.services import retention, retention_rules
from simple_batch.store.database import connected
from simple_batch.store.models import Audit, Job, StoredSetting

from ..web.test_form_keys import form_of
from .test_retention import ended


def fields(client) -> dict[str, str]:
    page = client.get("/storage").text
    return dict(re.findall(r'id="(RETENTION_\w+)" name="\w+"\s+value="([^"]*)"', page))


def test_rules_are_changed_on_the_page_and_applied(app, client, add_config, make_job, monkeypatch):
    monkeypatch.setattr(retention, "_next_at", 0.0)
    add_config("http://127.0.0.1:9/v1")
    old, new = make_job(1), make_job(1)
    with connected():
        ended(old, 40)
        ended(new, 1)
    assert set(fields(client).values()) == {""}
    form = form_of(client, "/storage", "/storage/rules")
    given = {"RETENTION_JOBS_DAYS": "30", "RETENTION_UPLOADS_MAX_BYTES": "1.5"}
    assert client.post("/storage/rules", data={**form, **given}).status_code == 303
    assert {k: v for k, v in fields(client).items() if v} == given
    with connected():
        assert [item.id for item in retention.plan().jobs] == [old]
        assert Audit.select().where(Audit.action == "care.rules").count() == 1
    retention.sweep()  # they are not automatic
    with connected():
        assert Job.select().where(Job.deleted_at.is_null()).count() == 2
    client.post("/storage/rules", data={**form, **given, "RETENTION_AUTO": "on"})
    retention.sweep()
    with connected():
        assert [job.id for job in Job.select().where(Job.deleted_at.is_null())] == [new]


@pytest.mark.parametrize("bad", ["nan", "-1", "x", "1e30", "36501"])
def test_what_is_no_rule_is_refused(client, bad):
    form = form_of(client, "/storage", "/storage/rules")
    for name in ("RETENTION_JOBS_DAYS", "RETENTION_JOBS_MAX_BYTES"):
        client.post("/storage/rules", data={**form, name: bad})
        if (name, bad) == ("RETENTION_JOBS_MAX_BYTES", "36501"):
            continue
        assert "Cleanup: enter numbers from 0" in client.get("/storage").text
        assert fields(client)[name] == ""


def test_what_the_environment_sets_stays(overrides):
    app = create_app(**overrides, RETENTION_JOBS_DAYS=7)
    client = app.test_client()
    page = client.get("/storage").text
    assert "Set by RETENTION_JOBS_DAYS in the environment or settings.toml." in page
    with connected():
        retention.set_rules({"RETENTION_JOBS_DAYS": "1", "RETENTION_EXPORTS_DAYS": "2"})
        assert retention_rules.in_force().RETENTION_JOBS_DAYS == 7
        assert [(row.name, row.value) for row in StoredSetting.select()] == [
            ("RETENTION_EXPORTS_DAYS", "2.0")
        ]
        with pytest.raises(InvalidInput):
            retention.set_rules({"RETENTION_EXPORTS_DAYS": "no"})
    app.extensions["simple_batch"].close()
