"""Enter in a field presses the first submit button of its form
(html.spec.whatwg.org/multipage/form-control-infrastructure.html#implicit-submission, read 2026-11-29): on every
page it is the form's main action."""

# ruff: noqa: F811 - fixtures that are imported

import io
from html.parser import HTMLParser

import pytest

from simple_batch.core.clock import now_ms
from simple_batch.services import jobs, uploads
from simple_batch.store.database import connected
from simple_batch.store.models import ApiConfig

from . import hostile
from .test_malformed import known, rules  # noqa: F401 (fixture)

# The only fields of the template's form that Enter submits are the name and the note of a template to save.
SAVES_FIRST = ("template-form", "workbench-form")
BAD_LINE = b'{"messages":[{"role":"user","content":"a"}]}\n{}\n'


class SubmitButtons(HTMLParser):
    """The submit buttons of each form of a page that has fields, in the order of the page, also those that
    name the form they are of from outside of it."""

    def __init__(self, html: str):
        super().__init__()
        self._all: dict[str, list[dict]] = {}
        self._with_fields = set()
        self._open = ""
        self.feed(html)

    @property
    def forms(self) -> dict[str, list[dict]]:
        return {form: self._all[form] for form in self._all if form in self._with_fields}

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag == "form":
            self._open = given.get("id") or f"form {len(self._all)}"
            self._all.setdefault(self._open, [])
        owner = given.get("form", self._open)
        kinds = ("submit", "image") if tag == "input" else ("submit", None)
        if tag in ("button", "input") and given.get("type") in kinds:
            self._all.setdefault(owner, []).append(given)
        elif tag in ("input", "select", "textarea") and given.get("type") != "hidden":
            self._with_fields.add(owner)

    def handle_endtag(self, tag):
        if tag == "form":
            self._open = ""


def is_main(button: dict, others: list[dict]) -> bool:
    """Whether the first button of a form is its main action; where no button is, it is disabled."""
    if any("btn-primary" in other["class"] for other in others):
        return not button.keys() & {"name", "formaction", "formnovalidate", "disabled"}
    return "disabled" in button


def wrong_forms(html: str) -> dict[str, dict]:
    """The first buttons of forms that are not their main actions."""
    return {
        form: buttons[0]
        for form, buttons in SubmitButtons(html).forms.items()
        if len(buttons) > 1 and form not in SAVES_FIRST and not is_main(buttons[0], buttons)
    }


@pytest.fixture
def paths(app, known, make_job) -> list[str]:
    """Every page, with one thing of each kind; also a file with faults, a connection whose streams were
    switched on, and a deleted job."""
    with connected():
        faulty = uploads.stage(io.BytesIO(BAD_LINE), "faulty.jsonl")
        ApiConfig.update(stream_since=now_ms(), stream_reason="they are needed").execute()
        jobs.delete(make_job(1))
    ids = [known, {**known, "upload_id": known["plain"]}, {**known, "upload_id": faulty.id}]
    found = [hostile.path(rule, one) for one in ids for rule, _ in rules(app, "GET")]
    return [*dict.fromkeys(found), "/configs/new?form=full"]


def test_the_first_button_of_every_form_is_its_main_action(client, paths):
    wrong, several = [], set()
    for path in paths:
        answer = client.get(path)
        if answer.mimetype == "text/html":
            found = SubmitButtons(answer.text).forms
            several |= {form for form, buttons in found.items() if len(buttons) > 1}
            wrong += [(path, *one) for one in wrong_forms(answer.text).items()]
        answer.close()
    assert wrong == []
    assert several >= {"config-form", "connect-form", "template-form", "launch-form"}
    assert several >= {"bulk-form", "bin-form"}
