"""Complete answers with invalid content."""

import json

import pytest

from simple_batch.core.call_prices import Usage
from simple_batch.core.domain import Cause
from simple_batch.engine.classify import classify
from simple_batch.engine.transport import Reply

from ..endpoint import GOOD


def judged(body: bytes):
    return classify(Reply(200, {}, body))


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (r"a\ud83db", r"a\ufffdb"),
        (r"\udE00x", r"\ufffdx"),
        (r"\ud83d\ude00 \uD83D", r"\ud83d\ude00 \ufffd"),
        (r"\\ud83d", r"\\ud83d"),
        (r"\\\ud83d", r"\\\ufffd"),
    ],
)
def test_half_of_an_emoji_becomes_a_replacement_character(text, kept):
    body = json.dumps(GOOD).replace("fine", text).encode()
    finding = judged(body)
    assert finding.cause is None
    assert finding.response == json.dumps(GOOD).replace("fine", kept).encode()
    json.loads(finding.response)["choices"][0]["message"]["content"].encode()


def test_an_answer_may_begin_with_a_byte_order_mark():
    body = json.dumps(GOOD).encode()
    finding = judged(b"\xef\xbb\xbf" + body)
    assert (finding.cause, finding.response) == (None, body)


def test_what_is_no_utf_8_is_no_answer():
    body = json.dumps(GOOD).encode().replace(b"fine", b"fi\xe9ne")
    assert judged(body).cause is Cause.BAD_RESPONSE


@pytest.mark.parametrize("count", [-1, 1.5, "5.5", "five", True, [], {}, 1e300])
def test_figures_that_are_no_counts_of_tokens_are_unknown(count):
    """They are estimated then, neither negative nor 0; the answer itself is good."""
    good = {"prompt_tokens": 7, "completion_tokens": 3}
    details = {"prompt_tokens_details": {"cached_tokens": count}}
    details_out = {"completion_tokens_details": {"reasoning_tokens": count}}
    for wrong in ({"prompt_tokens": count}, {"completion_tokens": count}, details, details_out):
        found = judged(json.dumps({**GOOD, "usage": {**good, **wrong}}).encode())
        assert (found.cause, found.usage) == (None, None), wrong
    named = {"input_tokens": 7, "output_tokens": count}
    assert judged(json.dumps({**GOOD, "usage": named}).encode()).usage is None


@pytest.mark.parametrize("count", [10**10, 10**30])
def test_tokens_beyond_belief_are_not_counted(count):
    def usage(**counts):
        return judged(json.dumps({**GOOD, "usage": counts}).encode()).usage

    assert usage(prompt_tokens=count, completion_tokens=1) is None
    assert usage(prompt_tokens=1, completion_tokens=count) is None
    details = {"cached_tokens": count}
    found = usage(prompt_tokens=1, completion_tokens=2, prompt_tokens_details=details)
    assert found == Usage(1, 2, 1, 0)
