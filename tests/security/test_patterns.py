"""Texts made to keep a search busy: four times the text takes about four times as long, not
sixteen."""

import time

import pytest

from simple_batch.core import redaction
from simple_batch.core.redaction import Secret
from simple_batch.core.schema.validator import single
from simple_batch.engine import error_words, request_size
from simple_batch.engine.error_text import ErrorBody, read_error
from simple_batch.engine.error_waits import text_wait_s
from simple_batch.engine.quotes import unquoted
from simple_batch.engine.rate_limit_headers import duration_s
from simple_batch.export.csv_file import safe
from simple_batch.intake import excel_dates, request_checks, template
from simple_batch.store.error_groups import normalised
from simple_batch.web import answer_markdown

KEY = Secret("PLANTED/key+with=odd&chars/at/many/places")
NESTED = single({"type": "string", "pattern": "^(([a-z])+.)+[A-Z]([a-z])+$"})
HANGING = single({"type": "string", "pattern": "(x+x+)+y"})

SEARCHES = {
    "fields of a template": (lambda text: template.FIELD.sub("", text), "{{"),
    "fields with spaces": (lambda text: template.FIELD.sub("", "{{" + text), " "),
    "fields with signs": (lambda text: template.FIELD.sub("", text), "{{- "),
    "raw parts": (lambda text: template.FIELD.sub("", text), "{% raw"),
    "ends of raw parts": (lambda text: template.FIELD.sub("", "{% raw" + text), "endraw "),
    "strings": (lambda text: request_checks._STRINGS.sub(b"", b'"' + text.encode()), '\\"'),
    "number formats": (excel_dates.kind_of, "["),
    "numbers": (safe, "-1,"),
    "numbers of digits": (safe, "+1"),
    "keys": (redaction.redact, "sk-"),
    "bearers": (redaction.redact, "Bearer  "),
    "authorization": (redaction.redact, "authorization : "),
    "a quoted key": (KEY.masked, "PLANTED/key+"),
    "a quoted key's end": (lambda text: KEY.masked("PLANTED/" + text), "key+"),
    "messages": (normalised, "'a-f0-"),
    "hexadecimal": (normalised, "0123456789abcdef-"),
    "times to wait": (lambda text: duration_s(text, 0.0), "1m"),
    "sentences about waits": (lambda text: text_wait_s(text, 0.0), "retry in 1m "),
    "spans in sentences": (lambda text: text_wait_s(text, 0.0), "wait 1 m, and "),
    "named waits": (lambda text: text_wait_s(text, 0.0), "retry after "),
    "quotations": (unquoted, "“a 'b \""),
    "clocks in sentences": (lambda text: text_wait_s(text, 0.0), "in 00:00:1 at 10:10 "),
    "messages in cut errors": (lambda text: read_error(text.encode()), "{'msg': 'a"),
    "sizes in errors": (
        lambda text: request_size.exceeded_size(ErrorBody(words=text)),
        "prompt exceeds 10 tokens ",
    ),
    "brackets in errors": (lambda text: read_error(text.encode()), "[{'"),
    "JSON in errors": (lambda text: read_error(f'{{"message":"{text}"}}'.encode()), "{["),
    "tags in errors": (lambda text: read_error(text.encode()), "<script "),
    "amounts in errors": (
        lambda text: request_size.is_too_large(ErrorBody(words=text)),
        "limit 1,000 ",
    ),
    "digits in errors": (lambda text: request_size.is_too_large(ErrorBody(words=text)), "1,000"),
    "patterns of a schema": (NESTED.is_valid, "a"),
    "a schema's pattern that hangs others": (HANGING.is_valid, "x"),
}


WORDINGS = {
    name: wording.pattern
    for name, wording in vars(error_words).items()
    if isinstance(wording, error_words.Wording)
}
PIECES = (
    "request content ", "model not ", "generated ", "quota ", "insufficient ", "tokens per ", "input ",
    "limit 0", "account api key ", "a", " ", "内容", "violat", "balance credit fund ", "blocked ",
)  # fmt: skip


def seconds(search, text: str) -> float:
    """CPU time of the fastest of three runs."""
    found = []
    for _ in range(3):
        began = time.thread_time()
        search(text)
        found.append(time.thread_time() - began)
    return min(found)


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_takes_linear_time(name):
    search, piece = SEARCHES[name]
    count = 1_000
    while (short := seconds(search, piece * count)) < 0.004 and count < 200_000:
        count *= 4
    assert seconds(search, piece * count * 4) < max(short, 0.004) * 9, count


@pytest.mark.parametrize("name", WORDINGS)
def test_a_search_for_a_wording_takes_linear_time(name):
    for piece in PIECES:
        text = piece * (8_000 // len(piece))
        short, long = (seconds(WORDINGS[name].search, text * count) for count in (1, 4))
        assert long < max(short, 0.004) * 9, piece


@pytest.mark.parametrize(
    "piece", ["_a", "[", "![", "*a **a ", "[a](", "a\n", "~~a ~~b ", "*_", "|-\n"]
)
def test_markdown_is_given_up_before_it_takes_long(piece):
    """Some nesting takes quadratic time: beyond a number of markers a text is shown as plain
    text."""
    most = max(seconds(answer_markdown.rendered, piece * count) for count in (600, 1_200, 2_400))
    assert seconds(answer_markdown.rendered, piece * 60_000) < most
    assert "prewrap" in answer_markdown.rendered(piece * 60_000)
    assert "<strong>" in answer_markdown.rendered("a **real** answer\n\n" * 300)


def test_patterns_that_need_to_look_back_are_refused():
    for pattern in (r"(a)\1", "(?<=a)b", "(?=a)"):
        with pytest.raises(Exception, match=r"Schema|pattern"):
            single({"pattern": pattern})
