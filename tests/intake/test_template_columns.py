"""Templates without a table: the columns they need, and templates that no table can satisfy."""

import pytest

from simple_batch.core import settings
from simple_batch.core.errors import InvalidInput
from simple_batch.intake import Template, check_template, columns_needed

LOADED = settings.load(environ={})


@pytest.mark.parametrize(
    ("template", "columns"),
    [
        (Template(user="{{question}} {{ question }}"), ["question"]),
        (Template(user="{{Customer name}} {{问题|trim}}"), ["Customer name", "问题"]),
        (Template(user="{{Price (USD)}} {{not}} {{growth %}}"), ["Price (USD)", "not", "growth %"]),
        (Template(user='{{row["a column"]|upper}}', system="{{a}}"), ["a", "a column"]),
        (Template(user="{% for n in range(2) %}{{n}}{{loop.index}}{{x}}{% endfor %}"), ["x"]),
        (Template(user="{% set y = a %}{% if b %}{{y}}{% endif %}"), ["a", "b"]),
        (Template(user="{% raw %}{{no}}{% endraw %}yes"), []),
        (
            Template(user="x", parameters={"a": ["{{seed}}", {"b": "{{top p}}"}]}, custom_id="id"),
            ["seed", "top p", "id"],
        ),
    ],
)
def test_the_columns_that_a_template_asks_for(template, columns):
    assert columns_needed(template) == columns
    check_template(template, LOADED)


@pytest.mark.parametrize(
    ("template", "field", "expected"),
    [
        (Template(user=" "), "user", "The user message is empty"),
        (Template(user="a\n{{q"), "user", "line 2 of the template: }} is missing after {{q"),
        (
            Template(user="{{ }}"),
            "user",
            "line 1 of the template: the name of a column is missing in {{ }}",
        ),
        (Template(user="x", system="{% if %}"), "system", "line 1 of the template"),
        (Template(user="{{q|nothing}}"), "user", "there is no filter “nothing”"),
        (Template(user='{{q|replace("a}}'), "user", "line 1 of the template"),
        (Template(user="{% include 'x' %}"), "user", "“include” is not for templates"),
        (Template(user="{{q}}", parameters={"stop": "{{q|}}"}), "parameters", "line 1"),
        (Template(user="{{q}}", parameters={"messages": 1}), "parameters", "set elsewhere"),
        (Template(user="x" * 200_001), "user", "Longer than"),
    ],
)
def test_what_no_table_could_be_read_through_is_reported_at_its_field(template, field, expected):
    with pytest.raises(InvalidInput) as wrong:
        check_template(template, LOADED)
    assert (wrong.value.field, expected in str(wrong.value)) == (field, True), str(wrong.value)


def test_a_known_table_may_have_columns_that_no_name_suggests():
    odd = Template(user='{{a|b}} {{"c"}} {{x__y z}}')
    with pytest.raises(InvalidInput):
        check_template(odd, LOADED)
    check_template(odd, LOADED, ["a|b", '"c"', "x__y z"])
