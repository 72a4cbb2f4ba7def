"""Which requests share a prefix, and what a template's order costs."""

import json

import pytest

from simple_batch import intake
from simple_batch.core.domain import Request
from simple_batch.core.prompt_prefix import HEAD_BYTES, fixed_part_of, prefix_of
from simple_batch.intake import Template
from simple_batch.intake import shared_prefixes as counted
from simple_batch.intake.shared_prefixes import SharedPrefixes, common_length

CHAT = "/v1/chat/completions"
LONG = "All work and no play. " * 400


def chat(*contents, **fields) -> bytes:
    roles = ["system", *["user"] * len(contents)]
    messages = [
        {"role": role, "content": text} for role, text in zip(roles, contents, strict=False)
    ]
    return json.dumps({"messages": messages, **fields}).encode()


def test_equal_heads_have_one_prefix_whatever_follows():
    one = prefix_of(CHAT, chat(LONG, "a"))
    assert one is not None
    assert 0 <= one < 1 << 63
    assert prefix_of(CHAT, chat(LONG, "b", temperature=0)) == one
    assert prefix_of(CHAT, b'{"temperature": 1, ' + chat(LONG, "c")[1:]) == one


@pytest.mark.parametrize(
    ("url", "body"),
    [
        (CHAT, chat("." + LONG, "a")),
        (CHAT, chat(LONG, "a", model="other")),
        (CHAT, chat(LONG, "a", tools=[{"type": "function", "function": {"name": "f"}}])),
        (CHAT, chat(LONG[: HEAD_BYTES - 200] + "!" + LONG, "a")),
        ("/v1/responses", json.dumps({"instructions": LONG, "input": "a"}).encode()),
        ("/v1/completions", json.dumps({"prompt": LONG}).encode()),
    ],
)
def test_another_head_has_another_prefix(url, body):
    assert prefix_of(url, body) not in (None, prefix_of(CHAT, chat(LONG, "a")))


@pytest.mark.parametrize(
    ("url", "body"),
    [
        (CHAT, chat("short", "a")),
        (CHAT, chat("short", "a", metadata={"note": LONG})),
        ("/v1/embeddings", json.dumps({"input": LONG}).encode()),
        ("/v1/moderations", json.dumps({"input": LONG}).encode()),
    ],
)
def test_short_prompts_and_endpoints_without_text_have_none(url, body):
    assert prefix_of(url, body) is None


def test_the_fixed_part_is_tools_and_leading_system_messages():
    one = fixed_part_of(CHAT, chat(LONG, "a"))
    assert one == fixed_part_of(CHAT, chat(LONG, "b", "c"))
    assert one != fixed_part_of(CHAT, chat(LONG + "x", "a"))
    assert fixed_part_of(CHAT, chat("short", LONG)) is None


def read(tmp_path, db, lines: list[bytes], template=None):
    path = tmp_path / "r.jsonl"
    path.write_bytes(b"\n".join(lines))
    return intake.scan(path, db, template=template)


def test_the_preview_counts_requests_that_share_a_prefix(tmp_path, db):
    lines = [chat(LONG, f"question {n}") for n in range(30)]
    lines += [chat("short", f"question {n}") for n in range(5)]
    lines += [chat(f"{n} {LONG}", "alone") for n in range(3)]
    found = read(tmp_path, db, lines).shared
    assert (found.requests, found.exact) == (30, True)
    assert found.bytes == pytest.approx(len(LONG), abs=90)


def test_rows_of_a_table_have_a_prefix(tmp_path, db):
    path = tmp_path / "t.csv"
    path.write_text("word\n" + "\n".join(f"w{n}" for n in range(10)))
    fixed_first = Template(system=LONG, user="{{word}}")
    assert intake.scan(path, db, template=fixed_first).shared.requests == 10
    fixed_last = Template(user="{{word}} " + LONG)
    assert intake.scan(path, db, template=fixed_last).shared.requests == 0


def test_counting_is_bounded_and_says_so(monkeypatch):
    monkeypatch.setattr(counted, "MAX_PREFIXES", 5)
    prefixes = SharedPrefixes()
    for number in (1, 1, 2, 3, 4, 5, 6, 6, 6):
        prefixes.add(Request(0, "x", chat(LONG, "a"), CHAT, prefix=number))
    found = prefixes.found()
    assert (found.requests, found.exact) == (2, False)
    assert len(prefixes._counts) == 5


def test_the_common_length_of_two_texts():
    assert common_length(b"abcd", b"abxd") == 2
    assert common_length(b"abc", b"abc") == 3
    assert common_length(b"", b"abc") == common_length(b"x", b"y") == 0


@pytest.mark.parametrize(
    ("template", "before", "behind", "column"),
    [
        (Template(system="S", user="A {{x}} B"), "SA ", " B", "x"),
        (Template(system="{{ y|upper }} S", user="A"), "", " SA", "y"),
        (Template(user="{% if x %}yes{% endif %}tail"), "", "tail", "x"),
        (Template(user="{% raw %}{{x}}{% endraw %} {{ y }}!"), "{{x}} ", "!", "y"),
        (Template(system="S", user="U", conversation="x"), "S", "U", "x"),
        (Template(user='{{ row["y"] }} tail'), "", " tail", "y"),
        (Template(user="a", parameters={"tools": [{"name": "{{x}}"}]}), "", "a", "x"),
    ],
)
def test_fixed_text_before_and_behind_the_first_column(template, before, behind, column):
    found = intake.fixed_text(template, ["x", "y"])
    assert (found.before, found.behind, found.column) == (before, behind, column)


@pytest.mark.parametrize("user", ["no column", "{{ x", "{{ 1 + 1 }}"])
def test_a_template_without_a_column_or_that_cannot_be_read_has_no_order(user):
    assert intake.fixed_text(Template(user=user), ["x", "y"]) is None
