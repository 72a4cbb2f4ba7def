"""Templates that can be read, but look like a mistake; and what fails for a row."""

import json
import time

import pytest

from simple_batch import intake
from simple_batch.core.domain import Fault, Request
from simple_batch.core.errors import InvalidInput
from simple_batch.intake import Renderer, Template
from simple_batch.intake.table import Row

from .workbooks import SETTINGS

COLUMNS = ["question", "stars", "Customer Name"]


def kinds(template: Template) -> list[str]:
    return [found.kind for found in intake.findings(template, COLUMNS)]


@pytest.mark.parametrize(
    ("written", "corrected"),
    [
        ("Sum up {question}.", "Sum up {{ question }}."),
        ("{ Question } by {customer name}", "{{ question }} by {{ Customer Name }}"),
        ("${question}", "{{ question }}"),
        ("$question", "{{ question }}"),
        ("%(question)s", "{{ question }}"),
        ("{question!r:>10}", "{{ question }}"),
        ("<question>", "{{ question }}"),
        ("[[question]]", "{{ question }}"),
        ("«question»", "{{ question }}"),
    ],
)
def test_columns_in_the_syntax_of_other_tools(written, corrected):
    found = intake.findings(Template(user=written), COLUMNS)
    assert {"other_syntax", "no_column"} == {each.kind for each in found}
    assert f"write {found[0].written}" in str(found[0].message)
    assert intake.corrected(Template(user=written), COLUMNS).user == corrected
    assert kinds(Template(user=corrected)) == []


def test_one_in_single_braces_is_found_beside_columns_that_are_used():
    assert kinds(Template(user="{{question}} has {stars} stars")) == ["other_syntax"]
    assert kinds(Template(user="{{question}}", system="For {stars}")) == ["other_syntax"]
    assert kinds(Template(user="{{question}}", parameters={"seed": "{stars}"})) == ["other_syntax"]


@pytest.mark.parametrize(
    "user",
    [
        "{{question}}",
        'Answer {"question": "…"} about {{question}}',
        "{{question}} in {style}",
        "<question>{{question}}</question>",
        "{% raw %}{question}{% endraw %}{{question}}",
        "{# {question} #}{{question}}",
        "{% if stars|int > 3 %}a{% endif %}",
        "{% if stars == '3' %}a{% endif %}",
        "{% set stars = 3 %}{% if stars > 2 %}{{question}}{% endif %}",
        '{{ row["Customer Name"]|upper }}',
        "{% for name, cell in row.items() %}{{cell}}{% endfor %}",
    ],
)
def test_templates_without_a_mistake(user):
    assert kinds(Template(user=user)) == []


def test_a_template_without_a_column():
    (found,) = intake.findings(Template(user="Say hello"), COLUMNS)
    assert "all requests would be the same. Insert one, for example {{ question }}" in str(
        found.message
    )
    for used in ({"system": "{{question}}"}, {"images": ["{{question}}"]}):
        assert kinds(Template(user="Say hello", **used)) == []
    assert kinds(Template(user="Say hello", parameters={"seed": "{{stars}}"})) == []
    assert kinds(Template(conversation="question")) == []


@pytest.mark.parametrize(
    ("user", "written"),
    [
        ("{% if stars > 3 %}{{question}}{% endif %}", "write stars|int > 3"),
        ("{% if 3 <= stars %}{{question}}{% endif %}", "write 3 <= stars|int"),
        ("{% if stars == 3 %}{{question}}{% endif %}", "write stars|int == 3"),
        ("{{ stars * 2 }}", "write stars|int * 2"),
        ("{{ row['Customer Name'] > 1.5 }}", 'write row["Customer Name"]|float > 1.5'),
    ],
)
def test_cells_compared_with_numbers(user, written):
    (found,) = intake.findings(Template(user=user), COLUMNS)
    assert found.kind == "text_as_number"
    assert written in str(found.message)


def test_a_row_that_fails_says_the_same():
    template = Template(user="{% if stars > 3 %}{{question}}{% endif %}")
    made = Renderer(template, COLUMNS, SETTINGS).request(Row(2, ["a", "4", "Ann"]), 1, 0)
    assert isinstance(made, Fault)
    assert str(made.text) == "the template fails: “stars” is text here: write stars|int > 3."


def test_a_conversation_stands_between_the_system_and_the_user_message():
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes?"}]
    template = Template(conversation="question", system="Be {{stars}}", user="{{stars}}")
    renderer = Renderer(template, COLUMNS, SETTINGS)
    made = renderer.request(Row(2, [json.dumps(messages), "4", ""]), 1, 0)
    assert isinstance(made, Request)
    sent = json.loads(made.body)["messages"]
    assert [each["role"] for each in sent] == ["system", "user", "assistant", "user"]
    assert (sent[0]["content"], sent[3]["content"]) == ("Be 4", "4")
    for cell in ("", "hi", "{}", "[]", '[{"role": "user"}]', "[1]"):
        made = renderer.request(Row(2, [cell, "4", ""]), 1, 0)
        assert isinstance(made, Fault), cell
        assert "column “question”" in str(made.text)


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("a\n{{question", "line 2 of the template: }} is missing after {{question"),
        ("{% if stars %}x", "{% endif %} is missing"),
        ("{% question %}", "write {{ question }} for the column"),
        ("{{ Customer Name|upper }}", 'written row["Customer Name"]'),
        ("{{ question|shout }}", "there is no filter “shout”"),
        ("{% if stars = 3 %}x{% endif %}", "two values are compared by =="),
        ("{{ “a” }}", "is no quote of a template"),
        ("{% endif %}", "has no {% if … %} before it"),
    ],
)
def test_faults_of_templates_are_in_a_users_terms(user, expected):
    with pytest.raises(InvalidInput) as wrong:
        Renderer(Template(user=user), COLUMNS, SETTINGS)
    assert expected in str(wrong.value)


def test_no_text_takes_long_to_look_through():
    began = time.process_time()
    for part in (
        "{",
        "<",
        "<a ",
        "[[",
        "%(",
        "{a",
        "$question ",
        "{stars} ",
        "{{",
        "{%",
        "{#",
        "«",
    ):
        template = Template(user=part * (150_000 // len(part)))
        intake.findings(template, COLUMNS)
        intake.corrected(template, COLUMNS)
    assert time.process_time() - began < 6
