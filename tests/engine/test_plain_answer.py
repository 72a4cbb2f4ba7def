"""The short way to read the most frequent answer comes to the same as the long one."""

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simple_batch.engine import classify as classifying
from simple_batch.engine.classify import classify
from simple_batch.engine.plain_answer import plain_answer
from simple_batch.engine.transport import Reply

from ..endpoint import GOOD

ABSENT = object()
ODD = [ABSENT, None, "", [], {}, False, 0, "stop", "x", [{"id": 1}], {"code": "bad"}, {"name": "f"}]
TEXTS = [
    "fine",
    "",
    " ",
    "\u3000",
    "\u200b",
    "a\ud83d",
    "\ud83d\ude00",
    "<think>a</think>",
    "<think>a</think>b",
    "n\\ud83d",
    '{"error": 1}',
    "b</think>",
    "中文",
    "\\",
    '"',
    "a\n",
]
odd = st.sampled_from(ODD)


def _fields(**kinds):
    return st.fixed_dictionaries(kinds).map(
        lambda found: {name: value for name, value in found.items() if value is not ABSENT}
    )


def _seldom(common, others=odd):
    """Nearly always ``common``."""
    return st.sampled_from([common] * 7).flatmap(
        lambda one: st.one_of(st.just(one), st.just(one), others)
    )


ABSENT_MOSTLY = _seldom(ABSENT)
messages = _fields(
    content=_seldom("fine", st.one_of(st.sampled_from(TEXTS), odd)),
    refusal=ABSENT_MOSTLY,
    tool_calls=ABSENT_MOSTLY,
    function_call=ABSENT_MOSTLY,
    error=ABSENT_MOSTLY,
    stop_reason=ABSENT_MOSTLY,
    audio=ABSENT_MOSTLY,
)
choices = _fields(
    message=_seldom(None, odd).flatmap(lambda one: messages if one is None else st.just(one)),
    finish_reason=_seldom("stop", st.sampled_from([*ODD, "length", "error", "content_filter"])),
    native_finish_reason=_seldom(ABSENT, st.sampled_from([*ODD, "SAFETY", "length", "error"])),
    error=ABSENT_MOSTLY,
    delta=ABSENT_MOSTLY,
)
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
answers = _fields(
    choices=_seldom(1, st.sampled_from([0, 2])).flatmap(
        lambda count: (
            st.lists(choices, min_size=count, max_size=count)
            if isinstance(count, int)
            else st.just(count)
        )
    ),
    usage=_seldom(USAGE, st.sampled_from([*ODD, {"prompt_tokens": -1}, {**USAGE, "cached": 1}])),
    model=_seldom("m"),
    service_tier=_seldom(ABSENT, st.sampled_from([*ODD, "flex"])),
    error=ABSENT_MOSTLY,
    base_resp=_seldom(ABSENT, st.sampled_from([*ODD, {"status_code": 0}, {"status_code": 1004}])),
    data=ABSENT_MOSTLY,
    output=ABSENT_MOSTLY,
    results=ABSENT_MOSTLY,
)
faults = st.sampled_from(
    [lambda body: body] * 6
    + [
        lambda body: body[:-1],
        lambda body: b"\xef\xbb\xbf" + body,
        lambda body: body.replace(b"fine", b"\xff"),
        lambda body: body.replace(b'"stop"', b'"\\u0073top"'),
        lambda body: body.replace(b"{", b'{"x":"\xe4",', 1),
        lambda body: body.replace(b"{", b'{"error":{"code":"bad"},', 1),
        lambda body: b" " + body + b"\n",
    ]
)


def body_of(text: str) -> bytes:
    """Of an answer of the most frequent shape."""
    choice = {"message": {"content": text}, "finish_reason": "stop"}
    return json.dumps({**GOOD, "choices": [choice]}).encode()


def both(body: bytes):
    """What an answer means, by the short way where it is one, and by the long way."""
    reply = Reply(200, {}, body)
    short = classify(reply)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifying, "plain_answer", lambda body: None)
        return msgspec.structs.asdict(short), msgspec.structs.asdict(classify(reply))


@settings(max_examples=400)
@given(answers, faults, st.booleans())
def test_both_ways_come_to_the_same(answer, fault, ascii_only):
    body = fault(json.dumps(answer, ensure_ascii=ascii_only).encode(errors="surrogatepass"))
    short, long = both(body)
    assert short == long


def test_the_short_way_is_taken():
    assert plain_answer(body_of("fine")) is not None
    assert plain_answer(json.dumps(GOOD).encode()) is None, "it has no finish reason"


@pytest.mark.parametrize("text", TEXTS)
def test_texts_come_to_the_same(text):
    short, long = both(body_of(text))
    assert short == long


ANSWER_FIELDS = (
    "usage",
    "model",
    "service_tier",
    "error",
    "base_resp",
    "data",
    "output",
    "results",
)
CHOICE_FIELDS = ("message", "finish_reason", "finishReason", "native_finish_reason", "error")
MESSAGE_FIELDS = ("content", "refusal", "tool_calls", "function_call", "error", "audio")


@pytest.mark.parametrize(
    ("level", "name"),
    [
        (level, name)
        for level, names in enumerate((ANSWER_FIELDS, CHOICE_FIELDS, MESSAGE_FIELDS))
        for name in names
    ],
)
def test_each_field_comes_to_the_same(level, name):
    for value in [*ODD[1:], "length", "SAFETY", {"status_code": 1004}]:
        answer = json.loads(body_of("fine"))
        choice = answer["choices"][0]
        (answer, choice, choice["message"])[level][name] = value
        short, long = both(json.dumps(answer).encode())
        assert short == long, value
