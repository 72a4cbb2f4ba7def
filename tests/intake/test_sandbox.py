"""What a template may not do for one row: each attack ends with a fault, in a bounded number of steps."""

import json
import time
import tracemalloc

import pytest

from simple_batch import settings
from simple_batch.domain import Fault, Request
from simple_batch.errors import InvalidInput
from simple_batch.intake import Renderer, Template, check_template, columns_asked, near, nearest
from simple_batch.intake.sandbox import BUDGET, MOST_DEPTH, Bounded
from simple_batch.intake.table import Row

SETTINGS = settings.load(environ={}, INSTANCE_PATH="/nonexistent")
HANG_S = 5  # a guard against a hang: all of these take well under 0.2 s where nothing else runs
LEVELS = 29
LISTS = "{% set l = [1] %}{% set m = [1] %}" + "{% set l = [l, l] %}{% set m = [m, m] %}" * LEVELS
TUPLES = "{% set l = (1,) %}{% set m = (1,) %}" + "{% set l = (l, l) %}{% set m = (m, m) %}" * LEVELS
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
    *("{{ l == m }}", "{{ l != m }}", "{{ l < m }}", "{{ l <= m }}", "{{ l in [m] }}"),
    *("{{ l not in [m, 1] }}", "{{ 1 < 2 == (l == m) }}", "{{ l is eq m }}", "{{ l is in [m] }}"),
    *("{{ l is ne m }}", "{{ l is lt m }}", "{{ l is upper }}", "{{ l is lower }}"),
    *("{{ {l: 1} }}", "{{ {1: 1}[l] }}", "{{ row[l] }}", "{{ l in row }}", "{{ row[[l]] }}"),
    *("{{ l|upper }}", "{{ l|lower }}", "{{ l|title }}", "{{ l|trim }}", "{{ l|capitalize }}"),
    *("{{ l|wordcount }}", "{{ l|truncate }}", "{{ l|string }}", "{{ l|tojson }}"),
    *("{{ l|join }}", "{{ l|replace(1, 2) }}", "{{ 'a'|replace(l, '') }}", "{{ l }}"),
    *("{{ l() }}", "{{ question.strip(l) }}", "{{ question.startswith(l) }}", "{{ l ~ '' }}"),
    *("{{ l.nothing }}", "{{ range(l) }}", "{{ l * 2 }}", "{{ l % l }}", "{{ l|round }}"),
    *("{{ l|abs }}", "{{ question|split(l) }}", "{{ l|split }}", "{{ l is divisibleby(m) }}"),
    *("{% if l == m %}{% endif %}", "{% for a in [1] if l == m %}{% endfor %}"),
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
    tracemalloc.start()
    try:
        item = made(user + "x", cell or "what?")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(item, Fault), item
    assert item.code == "template_error"
    assert most < 200_000_000, most


