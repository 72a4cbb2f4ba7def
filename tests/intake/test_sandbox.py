"""Attacks by templates: each ends with a fault, in a bounded number of steps."""

import json
import time

import pytest

from simple_batch.core import settings
from simple_batch.core.domain import Fault, Request
from simple_batch.core.errors import InvalidInput
from simple_batch.core.nearest_name import near, nearest
from simple_batch.intake import Renderer, Template, columns_needed
from simple_batch.intake.sandbox import BUDGET, MAX_DEPTH, BoundedEnvironment
from simple_batch.intake.table import Row

SETTINGS = settings.load(environ={}, INSTANCE_PATH="/nonexistent")
HANG_S = 5  # a guard against a hang: all of these take well under 0.2 s where nothing else runs
LEVELS = 29
LISTS = "{% set l = [1] %}{% set m = [1] %}" + "{% set l = [l, l] %}{% set m = [m, m] %}" * LEVELS
TUPLES = (
    "{% set l = (1,) %}{% set m = (1,) %}" + "{% set l = (l, l) %}{% set m = (m, m) %}" * LEVELS
)
DICTS = (
    "{% set l = {1: 1} %}{% set m = {1: 1} %}"
    + "{% set l = {1: l, 2: l} %}{% set m = {1: m, 2: m} %}" * LEVELS
)
GROWN = "{% set l = [1, 2, 3, 4] %}" + "{% set l = l + l %}" * 17  # half a million parts
PAIR = "{% set t = ('x', 'y') %}" + "{% set t = t + t %}" * 17
LOOP = "{% for i in range(90000) %}"
LONG = "a " * 2_000_000  # characters of a cell
NUMBER = "1" * 1_000_000


def made(user: str, cell: str = "what?") -> Request | Fault:
    began = time.thread_time()
    renderer = Renderer(Template(user=user), ["id", "question"], SETTINGS)
    item = renderer.request(Row(2, ["1", cell]), 1, 0)
    assert time.thread_time() - began < HANG_S
    return item


def content(user: str, cell: str = "what?") -> str:
    item = made(user, cell)
    assert isinstance(item, Request), item
    return json.loads(item.body)["messages"][0]["content"]


SHARED = [
    "{{ l == m }}",
    "{{ l != m }}",
    "{{ l < m }}",
    "{{ l <= m }}",
    "{{ l in [m] }}",
    "{{ l not in [m, 1] }}",
    "{{ 1 < 2 == (l == m) }}",
    "{{ l is eq m }}",
    "{{ l is in [m] }}",
    "{{ l is ne m }}",
    "{{ l is lt m }}",
    "{{ l is upper }}",
    "{{ l is lower }}",
    "{{ {l: 1} }}",
    "{{ {1: 1}[l] }}",
    "{{ row[l] }}",
    "{{ l in row }}",
    "{{ row[[l]] }}",
    "{{ l|upper }}",
    "{{ l|lower }}",
    "{{ l|title }}",
    "{{ l|trim }}",
    "{{ l|capitalize }}",
    "{{ l|wordcount }}",
    "{{ l|truncate }}",
    "{{ l|string }}",
    "{{ l|tojson }}",
    "{{ l|join }}",
    "{{ l|replace(1, 2) }}",
    "{{ 'a'|replace(l, '') }}",
    "{{ l }}",
    "{{ l() }}",
    "{{ question.strip(l) }}",
    "{{ question.startswith(l) }}",
    "{{ l ~ '' }}",
    "{{ l.nothing }}",
    "{{ range(l) }}",
    "{{ l * 2 }}",
    "{{ l % l }}",
    "{{ l|round }}",
    "{{ l|abs }}",
    "{{ question|split(l) }}",
    "{{ l|split }}",
    "{{ l is divisibleby(m) }}",
    "{% if l == m %}{% endif %}",
    "{% for a in [1] if l == m %}{% endfor %}",
]


@pytest.mark.parametrize("last", SHARED)
@pytest.mark.parametrize("setting", [LISTS, TUPLES, DICTS], ids=["lists", "tuples", "dicts"])
def test_what_stands_twice_in_itself_is_never_walked_to_its_end(setting, last):
    item = made(setting + last + "x")
    if "{1:" in setting and last == "{{ l|join }}":  # of its keys
        assert isinstance(item, Request)
        return
    assert isinstance(item, Fault), item
    assert item.code == "template_error"
    assert len(item.message) < 500


RUNAWAYS = {
    "a number in a range": (LOOP + "{% if 'x' in range(90000) %}{% endif %}{% endfor %}", ""),
    "a test for each item": ("{% for i in range(90000) if 'x' in range(90000) %}{% endfor %}", ""),
    "a test of tests": ("{% for i in range(90000) if " + "i is string or " * 9 + "1 %}{% endfor %}" * 1 + LOOP * 2 + "{% endfor %}" * 2, ""),
    "lists that grow": ("{% set l = [1] %}" + "{% set l = l + l %}" * 60, ""),
    "a large list": (GROWN + LOOP + "{% if 'x' in l %}{% endif %}{% endfor %}", ""),
    "a copy of a large list": (GROWN + LOOP + "{% set x = l[1:] %}{% endfor %}", ""),
    "many beginnings": (PAIR + LOOP + "{% if question.startswith(t) %}{% endif %}{% endfor %}", ""),
    "strip of many characters": ("{{ question.strip(question.lower()) }}", "é" * 100_000),
    "trim of many characters": ("{{ question|trim(question|lower) }}", "é" * 100_000),
    "titles": ("{{ question|title }}", LONG),
    "words": ("{{ question|wordcount }}", LONG),
    "pieces": ("{{ question.split(' ')|length }}", LONG * 3),
    "letters": ("{{ question|join }}", LONG),
    "numbers joined": ("{{ range(90000)|join }}" * 300, ""),
    "a long replacement": ("{{ question|replace('', question) }}", LONG),
    "hexadecimal": ("{{ question|int(0, 16) // 7 }}", "f" * 1_000_000),
    "binary": ("{{ question|int(0, 2) is divisibleby 3 }}", NUMBER),
    "numbers that grow": ("{% set a = 10 %}" + "{% set a = a * a %}" * 60, ""),
    "sums that grow": ("{% set a = 1000000000000000000 %}" + "{% set a = a + a %}" * 60, ""),
    "capitals in a loop": (LOOP + "{% if question|upper %}{% endif %}{% endfor %}", "é" * 9_000),
    "texts compared in a loop": (LOOP + "{% if question == question ~ 'x' %}{% endif %}{% endfor %}", "é" * 9_000),
    "a search in a loop": (LOOP + "{% if 'xyz' in question %}{% endif %}{% endfor %}", "xy" * 9_000),
    "a loop that calls itself": ("{% for i in [[1]] recursive %}{{ loop(i) }}{% endfor %}", ""),
    "a method of lists": ("{% set l = [1] %}{{ l.append(l) }}", ""),
    "a format": ("{{ '{:>999999999}'.format(1) }}", ""),
    "a percent": ("{{ '%999999999d' % 1 }}", ""),
    "padding": ("{{ 'a'.ljust(999999999) }}", ""),
    "zeroes": ("{{ 'a'.zfill(999999999) }}", ""),
    "texts multiplied": ("{{ 'a' * 999999999 }}", ""),
    "lists multiplied": ("{{ ([1] * 999999999)|length }}", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", RUNAWAYS)
def test_a_template_that_would_work_for_long_is_the_rows_fault(name):
    user, cell = RUNAWAYS[name]
    item = made(user + "x", cell or "what?")
    assert isinstance(item, Fault), item
    assert item.code == "template_error"


LEGITIMATE = {
    "{{ [1, 'a', [2]] == [1, 'a', [2]] }} {{ (1, 2) < (1, 3) }}": "True True",
    "{{ question in [" + ", ".join(f"'word {n}'" for n in range(400)) + ", 'what?'] }}": "True",
    "{{ 'hat' in question }} {{ 'x' not in question }} {{ 5 in range(10) }}": "True True True",
    "{% for a in range(1000) if a in [3, 5, 700] %}{{ a }},{% endfor %}": "3,5,700,",
    "{% for a in question.split('a') %}{{ loop.index }}{{ a|upper }}{% endfor %}": "1WH2T?",
    "{% set d = {'x': [1, 2], 2: 'y'} %}{{ d['x']|tojson }}{{ d[2] }}{{ d.x[1] }}": "[1,2]y2",
    "{{ row['question'] }} {{ row[question|replace('what?', 'id')] }}": "what? 1",
    "{{ 7 // 2 }} {{ 7 / 2 }} {{ 7 - 9 }} {{ 7 % 4 }} {{ 1.5e300 - 1 }}": "3 3.5 -2 3 1.5e+300",
    "{{ question.strip('?') }} {{ ' a '|trim }} {{ 'xax'|trim('x') }}": "what a a",
    "{{ 'the end'|title }} {{ 'a b'|wordcount }} {{ 'a b c d e f'|truncate(5, true, '…', 0) }}": (
        "The End 2 a b …"
    ),
    "{{ '12'|int + 1 }} {{ 'ff'|int(0, 16) }} {{ '1.5'|float }} {{ 'x'|int(7) }}": "13 255 1.5 7",
    "{{ id is defined }} {{ 3 is odd }} {{ 4 is divisibleby 2 }} {{ 'a' is eq 'a' }}": (
        "True True True True"
    ),
    "{{ 'a' is lower }} {{ question is string }} {{ 1 is in [1, 2] }}": "True True True",
    "{{ question[1:3] ~ [1, 2, 3][1:]|join('+') }}{{ 'ab'|first }}{{ [1, 2]|last }}": "ha2+3a2",
}


@pytest.mark.parametrize("user", LEGITIMATE)
def test_what_templates_are_for_still_works(user):
    assert content(user) == LEGITIMATE[user]


def test_every_row_may_compare_a_long_cell_with_hundreds_of_words():
    words = ", ".join(f"'word {n}'" for n in range(600))
    user = (
        "{% set known = ["
        + words
        + "] %}{% for w in question.split() %}{% if w in known %}{{ w }}{% endif %}{% endfor %}x"
    )
    assert content(user, "some text " * 1_000) == "x"
    assert content("{{ question }}", "y" * 10_000_000)[:3] == "yyy"
    assert content("{% if question == '' %}{% endif %}x", "y" * 10_000_000) == "x"


def charged(levels: int) -> int:
    """Steps charged for a comparison of lists that contain themselves twice."""
    source = "{% set a = 1 %}{% set b = 1 %}" + "{% set a = [a, a] %}{% set b = [b, b] %}" * levels
    env = BoundedEnvironment()
    render = env.compile(env.checked(source + "{% if a == b %}{% endif %}"))
    template = env.template_class.from_code(env, render, env.globals)
    env.begin()
    "".join(template.root_render_func(template.new_context({})))
    return BUDGET - env._left


def test_comparison_is_charged_with_all_that_is_compared():
    assert charged(11) > 1.9 * charged(10) > 3.6 * charged(9) > 1_000_000


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("{{a}}" * 1_400, "Over 1,300 fields"),
        ("{##}" * 1_400, "Over 1,300 fields"),
        ("{{ " + "a ~ " * 3_000 + "a }}", "more than 4,000 parts"),
        ("{{ " + "a < " * 3_000 + "a }}", "more than 4,000 parts"),
        ("{{ a" + "|d" * MAX_DEPTH + " }}", "over more than 40 levels"),
        ("{{ " + "not " * MAX_DEPTH + "a }}", "over more than 40 levels"),
        ("{% if a %}" * (MAX_DEPTH + 1) + "{% endif %}" * (MAX_DEPTH + 1), "over more than 40"),
        ("{{ 0x" + "f" * 9_000 + " // 3 }}", "too large"),
        ("{{ 0b" + "1" * 90_000 + " }}", "too large"),
    ],
)
def test_code_that_would_take_long_to_compile_is_refused(user, expected):
    with pytest.raises(InvalidInput, match=expected) as wrong:
        Renderer(Template(user=user), ["a"], SETTINGS)
    assert wrong.value.field == "user"


def test_many_small_texts_of_code_are_refused_as_well():
    for many in (
        Template("x", images=["{{a}}."] * 900),
        Template("x", parameters={"p": ["{{a}}."] * 900}),
    ):
        with pytest.raises(InvalidInput, match="more than 4,000 parts"):
            Renderer(many, ["a"], SETTINGS)
        assert columns_needed(many) == ["a"]
    plain = Template("x", parameters={"p": ["{{a}}"] * 900}, system="x y {z}\n" * 15_000)
    assert Renderer(plain, ["a"], SETTINGS).request(Row(2, ["5"]), 1, 0).body.count(b"5") == 900


def test_a_template_may_name_each_of_a_thousand_columns():
    columns = [f"column {n}" for n in range(1_000)]
    user = "".join(f"{{{{{name}}}}}" for name in columns)
    item = Renderer(Template(user=user), columns, SETTINGS).request(Row(2, ["x"] * 1_000), 1, 0)
    assert json.loads(item.body)["messages"][0]["content"] == "x" * 1_000
    assert columns_needed(Template(user=user)) == columns


def test_the_nearest_of_many_long_names_is_found_in_a_moment():
    began = time.thread_time()
    long = ["a" * 198 + str(n) for n in range(1_000)]
    assert nearest("a" * 199, long) in long
    assert nearest("".join(map(chr, range(0x4E00, 0x9000))) * 10, long) in long
    assert nearest("Qestion", ["id", "question", "Answer"]) == "question"
    assert near("zzz", ["id", "question"]) is None
    assert near("cät.png", ["dog.png", "cät.PNG"]) == "cät.PNG"
    assert time.thread_time() - began < HANG_S
