"""Chunks put together are the answer that a call without a stream would have given."""

import json
import random

import pytest

from simple_batch.core.domain import Outcome
from simple_batch.engine.answer_outcome import outcome_of
from simple_batch.engine.stream.body import StreamBody
from simple_batch.engine.stream.completions import CompletionsReader
from simple_batch.engine.stream.errors import StreamBroken, StreamError
from simple_batch.engine.stream.responses import ResponsesReader
from simple_batch.engine.stream.sse_events import EventParser, events_of
from simple_batch.engine.stream.stream_reader import read_events

from ...emulators import streams as s


def read(events, reader=None) -> dict:
    reader = reader or CompletionsReader()
    read_events(reader, EventParser().feed(b"".join(events)))
    return json.loads(reader.body())


def message(*deltas, finish_reason="stop") -> dict:
    """The message of an answer whose chunks have these deltas."""
    events = [*(s.chunk(delta) for delta in deltas), s.chunk({}, finish_reason=finish_reason)]
    return read([*events, s.DONE])["choices"][0]["message"]


def call(index=None, id=None, name=None, arguments=None, **fields) -> dict:
    function = {"name": name, "arguments": arguments}
    piece = {"index": index, "id": id, **fields}
    piece["function"] = {key: value for key, value in function.items() if value is not None}
    return {"tool_calls": [{key: value for key, value in piece.items() if value is not None}]}


def calls(*deltas) -> list[tuple]:
    """(id, name, arguments) of the calls that these deltas make."""
    found = message(*deltas, finish_reason="tool_calls")["tool_calls"]
    return [(one["id"], one["function"]["name"], one["function"]["arguments"]) for one in found]


def test_a_text():
    answer = read(s.says("Es war einmal 在北京 🎉"))
    choice = {"index": 0, "logprobs": None, "finish_reason": "stop"}
    choice["message"] = {"role": "assistant", "content": "Es war einmal 在北京 🎉"}
    assert answer == {**s.CHUNK, "object": "chat.completion", "choices": [choice], "usage": s.USAGE}


ODD = 'say "content": "x" \\ } {"a":1} \n\t\x00 \\u4e2d 中 🎉 ]}}'


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("escaped", [True, False])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_a_text_of_any_characters(size, escaped, separators):
    """Chunks that are alike but for their text are not decoded one by one."""
    text = f"plain words before it: {ODD * 3} and after"
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    events = []
    for piece in [*pieces, *reversed(pieces)]:
        choice = {"index": 0, "delta": {"content": piece}, "logprobs": None, "finish_reason": None}
        data = {**s.CHUNK, "choices": [choice]}
        events.append(s.event(json.dumps(data, ensure_ascii=escaped, separators=separators)))
    found = read([*events, s.chunk({}, finish_reason="stop")])["choices"][0]["message"]["content"]
    assert found == text + "".join(reversed(pieces))


WORDS = [
    "plain",
    " ",
    "\n",
    'a"b',
    "\\",
    "\\\\",
    '","',
    '"},',
    "中",
    "🎉",
    "\x00",
    "\t",
    "]}}",
    "data: x",
]
EXTRAS = [
    s.chunk({"reasoning": "r"}),
    s.chunk({"content": ""}),
    s.chunk({"content": "i"}, index=1),
    s.chunk({"content": "u"}, usage=s.USAGE),
    s.chunk({"content": "m"}, model="another"),
    b": a comment\n\n",
    b"\n",
    s.event("…", "ping"),
]


def one_by_one(data: bytes) -> dict:
    """The answer, with each chunk decoded."""
    reader = CompletionsReader(choices=2)
    for event in events_of(EventParser().feed(data)):
        reader.feed(event)
    return json.loads(reader.body())


@pytest.mark.parametrize("seed", range(40))
def test_chunks_read_together_are_those_read_one_by_one(seed):
    """Any texts, other events in between, and any cuts."""
    draw = random.Random(seed)
    head = draw.choice([{}, {"usage": None}, {"obfuscation": "zz", "created": 7}])
    events = []
    for _ in range(draw.randrange(400)):
        piece = draw.choice(WORDS[: draw.randrange(1, len(WORDS) + 1)])
        events.append(s.chunk({"content": piece}, **head))
        if draw.random() < 0.05:
            events.append(draw.choice(EXTRAS))
    events += [s.chunk({}, index=index, finish_reason="stop") for index in (0, 1)]
    data = b"".join([*events, s.DONE])
    if draw.random() < 0.3:
        data = data.replace(b"\n", draw.choice([b"\r\n", b"\r"]))
    body, most = (
        StreamBody(CompletionsReader(choices=2), 0.0, 1 << 30),
        draw.choice([9, 900, 90_000]),
    )
    body.begin(200, "")
    rest = data
    while rest:
        size = draw.randrange(1, most)
        body.feed(rest[:size])
        rest = rest[size:]
    assert json.loads(body.body()) == one_by_one(data)


def test_chunks_alike_are_not_decoded(monkeypatch):
    decoded = []
    feed = CompletionsReader.feed
    monkeypatch.setattr(
        CompletionsReader, "feed", lambda self, event: (decoded.append(event), feed(self, event))
    )
    assert read(s.says('one\n"two" ' * 500, size=4))["choices"]
    assert len(decoded) < 12


def test_chunks_that_are_alike_but_are_not():
    """Another field, another choice, or JSON that is cut."""
    begins = [s.chunk({"content": text}) for text in ("a", "b", "c")]
    other = [
        s.chunk({"reasoning": "r"}),
        s.chunk({"content": "d"}),
        s.chunk({"content": "x"}, index=1),
    ]
    ends = [s.chunk({}, index=index, finish_reason="stop") for index in (0, 1)]
    choices = read([*begins, *other, *ends])["choices"]
    assert choices[0]["message"] == {"role": "assistant", "content": "abcd", "reasoning": "r"}
    assert choices[1]["message"]["content"] == "x"
    cut = begins[0].replace(b'"content": "a"', b'"content": "')
    with pytest.raises(StreamBroken):
        read([*begins, cut, *ends])


def test_chunks_whose_events_have_a_name_are_read_together(monkeypatch):
    decoded = []
    feed = CompletionsReader.feed
    monkeypatch.setattr(
        CompletionsReader, "feed", lambda self, event: (decoded.append(event), feed(self, event))
    )
    sent = [b"event: chunk\n" + event for event in s.says('say "it"\n' * 90, size=4)]
    assert read(sent)["choices"][0]["message"]["content"] == 'say "it"\n' * 90
    assert len(decoded) < 12


def test_of_what_chunks_say_of_the_answer_the_last_counts():
    """Whether they are decoded into structs or, as the one with citations, into dicts."""
    sent = [s.chunk({"content": text}, model=name, **more) for text, name, more in
            [("a", "m-1", {}), ("b", "m-1", {}), ("c", "m-2", {"citations": ["x"]}),
             ("d", "m-1", {})]]  # fmt: skip
    answer = read([*sent, s.chunk({}, finish_reason="stop", model=None), s.DONE])
    assert answer["model"] == "m-1"
    assert answer["choices"][0]["message"]["content"] == "abcd"


@pytest.mark.parametrize("name", ["content", "refusal", "reasoning_content", "reasoning"])
def test_texts_of_every_kind_are_joined(name):
    assert message(*({name: piece} for piece in ("a", "b", "", None, "c")))[name] == "abc"


def test_reasoning_and_text():
    found = message({"reasoning_content": "hm"}, {"reasoning_content": "…"}, {"content": "yes"})
    assert (found["reasoning_content"], found["content"]) == ("hm…", "yes")


def test_parts_of_a_list():
    """Mistral's thinking comes as parts, its answer as text."""
    thinks = [{"type": "thinking", "thinking": [{"type": "text", "text": word}]} for word in "ab"]
    found = message(
        {"content": [thinks[0]]}, {"content": [thinks[1]]}, {"content": "so"}, {"content": "!"}
    )
    assert found["content"] == [
        {"type": "thinking", "thinking": [{"type": "text", "text": "ab"}]},
        {"type": "text", "text": "so!"},
    ]


def test_details_of_reasoning():
    """OpenRouter: https://openrouter.ai/docs/use-cases/reasoning-tokens."""
    piece = {"type": "reasoning.text", "index": 0, "format": "x"}
    found = message(*({"reasoning_details": [{**piece, "text": text}]} for text in "abc"))
    assert found["reasoning_details"] == [{**piece, "text": "abc"}]


@pytest.mark.parametrize(
    ("deltas", "expected"),
    [
        (
            [call(0, "a", "f", ""), call(0, arguments='{"x"'), call(0, arguments=":1}")],
            [("a", "f", '{"x":1}')],
        ),
        (
            [
                call(0, "a", "f", ""),
                call(1, "b", "g", ""),
                call(1, arguments="2"),
                call(0, arguments="1"),
            ],
            [("a", "f", "1"), ("b", "g", "2")],
        ),
        # an empty id and no name in later pieces (DashScope)
        ([call(0, "a", "f", "{"), call(0, "", "", "}")], [("a", "f", "{}")]),
        # the name again in each piece
        ([call(0, "a", "f", "{"), call(0, "a", "f", "}")], [("a", "f", "{}")]),
        # pieces without index
        ([call(None, "a", "f", "{"), call(None, arguments="}")], [("a", "f", "{}")]),
        # whole calls that all have the index 0, or none, or neither index nor id
        ([call(0, "a", "f", "1"), call(0, "b", "g", "2")], [("a", "f", "1"), ("b", "g", "2")]),
        (
            [call(None, "a", "f", "1"), call(None, "b", "g", "2")],
            [("a", "f", "1"), ("b", "g", "2")],
        ),
        (
            [call(None, None, "f", "1"), call(None, None, "g", "2")],
            [("", "f", "1"), ("", "g", "2")],
        ),
        # arguments as an object
        ([call(0, "a", "f", {"x": 1})], [("a", "f", '{"x":1}')]),
    ],
)
def test_tool_calls(deltas, expected):
    assert calls(*deltas) == expected


def test_a_function_call_of_the_older_kind():
    found = message(
        {"function_call": {"name": "f", "arguments": ""}}, {"function_call": {"arguments": "{}"}}
    )
    assert found["function_call"] == {"name": "f", "arguments": "{}"}


def test_several_choices_in_any_order():
    events = [
        s.chunk({"content": text}, index=index) for index, text in [(1, "b"), (0, "a"), (1, "B")]
    ]
    events += [s.chunk(index=index, finish_reason="stop") for index in (1, 0)]
    choices = read(events, CompletionsReader(choices=2))["choices"]
    assert [(one["index"], one["message"]["content"]) for one in choices] == [(0, "a"), (1, "bB")]


def test_logprobs_go_on():
    events = []
    for token in ("a", "b"):
        logprobs = {
            "content": [{"token": token, "logprob": -0.5, "top_logprobs": []}],
            "refusal": None,
        }
        choice = {
            "index": 0,
            "delta": {"content": token},
            "logprobs": logprobs,
            "finish_reason": None,
        }
        events.append(s.event({**s.CHUNK, "choices": [choice]}))
    choice = read([*events, s.chunk({}, finish_reason="stop")])["choices"][0]
    assert [one["token"] for one in choice["logprobs"]["content"]] == ["a", "b"]
    assert choice["logprobs"]["refusal"] is None


@pytest.mark.parametrize(
    "events",
    [
        [s.chunk({"content": "a"}, usage={"prompt_tokens": 7, "completion_tokens": 1}),
         s.chunk({}, finish_reason="stop", usage=s.USAGE), s.DONE],
        [s.chunk({"content": "a"}, usage=None), s.chunk({}, finish_reason="stop"),
         s.event({**s.CHUNK, "choices": [], "usage": s.USAGE}), s.DONE],
        [s.event({**s.CHUNK, "choices": [{"index": 0, "delta": {"content": "a"},
                                          "finish_reason": "stop", "usage": s.USAGE}]})],
        [s.chunk({"content": "a"}, finish_reason="stop", x_groq={"id": "r", "usage": s.USAGE})],
    ],
)  # fmt: skip
def test_usage_wherever_it_stands(events):
    assert read(events)["usage"] == s.USAGE


def test_fields_of_providers_are_kept():
    sent = [
        s.event({**s.CHUNK, "choices": [], "prompt_filter_results": [{"prompt_index": 0}]}),
        s.chunk({"role": "assistant", "content": "a"}, citations=["x"], system_fingerprint="fp"),
        s.chunk({"content": "b"}, citations=["x"], system_fingerprint="fp", obfuscation="zz"),
        s.event({**s.CHUNK, "choices": [{"index": 0, "delta": {"images": [{"n": 1}]},
                                         "content_filter_results": {"hate": {"filtered": False}},
                                         "native_finish_reason": "END", "finish_reason": "stop"}]}),
    ]  # fmt: skip
    answer = read(sent)
    assert answer["citations"] == ["x"]
    assert answer["prompt_filter_results"] == [{"prompt_index": 0}]
    assert answer["system_fingerprint"] == "fp"
    assert "obfuscation" not in answer
    choice = answer["choices"][0]
    assert choice["content_filter_results"] == {"hate": {"filtered": False}}
    assert choice["native_finish_reason"] == "END"
    assert choice["message"] == {"role": "assistant", "content": "ab", "images": [{"n": 1}]}


def test_a_whole_message_at_the_end():
    """MiniMax ends with the whole message; Perplexity has it so far beside each piece."""
    whole = {"role": "assistant", "content": "ab", "audio_content": ""}
    last = {"index": 0, "message": whole, "finish_reason": "stop"}
    beside = {
        "index": 0,
        "delta": {"content": "b"},
        "message": {"content": "ab"},
        "finish_reason": None,
    }
    events = [s.chunk({"content": "a"}), s.event({**s.CHUNK, "choices": [beside]})]
    assert (
        read([*events, s.chunk({}, finish_reason="stop")])["choices"][0]["message"]["content"]
        == "ab"
    )
    assert (
        read([*events, s.event({**s.CHUNK, "choices": [last]})])["choices"][0]["message"] == whole
    )


def test_a_completion():
    def piece(text, finish_reason=None, logprobs=None):
        choice = {"index": 0, "text": text, "logprobs": logprobs, "finish_reason": finish_reason}
        return s.event({"id": "x", "object": "text_completion", "model": "m", "choices": [choice]})

    tokens = [{"tokens": [text], "token_logprobs": [-1.0]} for text in "ab"]
    answer = read(
        [piece("a", None, tokens[0]), piece("b", "length", tokens[1]), s.DONE],
        CompletionsReader(of_text=True),
    )
    assert answer["object"] == "text_completion"
    choice = answer["choices"][0]
    assert (choice["text"], choice["finish_reason"]) == ("ab", "length")
    assert choice["logprobs"] == {"tokens": ["a", "b"], "token_logprobs": [-1.0, -1.0]}


@pytest.mark.parametrize(
    "events",
    [
        [],
        [s.DONE],
        s.says("all of it")[:-3],  # no finish_reason, no end
        [s.chunk({"content": "a"}), s.event(": OPENROUTER PROCESSING")][:1],
        [s.chunk({"content": "a"}), s.chunk({"content": "b"}, index=1, finish_reason="stop")],
    ],
)
def test_without_a_proper_end_there_is_no_answer(events):
    with pytest.raises(StreamBroken):
        read(events)


def test_one_of_two_choices_is_no_answer():
    events = [s.chunk({"content": "a"}, finish_reason="stop")]
    assert read(events)["choices"]
    with pytest.raises(StreamBroken):
        read(events, CompletionsReader(choices=2))


@pytest.mark.parametrize("data", ["{", "not JSON", '{"choices": [', "\x00"])
def test_a_piece_that_is_not_json(data):
    with pytest.raises(StreamBroken):
        read([s.chunk({"content": "a"}), s.event(data)])


@pytest.mark.parametrize("kind", ["ping", "keepalive"])
def test_signs_of_life_are_not_read(kind):
    assert read([s.event("…", kind), *s.says("a")])["choices"]


# llama.cpp (ggml-org/llama.cpp PR #16109) and Gemini (vercel/ai #5217)
OUTSIDE_EVENTS = (
    b'error: {"code":500,"message":"boom","type":"server_error"}\n\n',
    b'{\n  "error": {\n    "code": 503,\n    "message": "boom"\n  }\n}\n\n',
    b'[{\n  "error": {\n    "code": 503,\n    "message": "boom"\n  }\n}]\n\n',
)


@pytest.mark.parametrize(
    "sent",
    [
        s.event({"error": {"message": "boom", "code": 502}}),
        s.event({"message": "boom"}, "error"),
        s.event("boom", "error"),
        s.event({"object": "error", "message": "boom", "type": "BadRequestError", "code": 400}),
        s.event({"code": 1302, "msg": "boom"}),
        s.chunk(
            {"content": ""},
            finish_reason="error",
            error={"code": "server_error", "message": "boom"},
        ),
        s.event([{"error": {"code": 503, "message": "boom", "status": "UNAVAILABLE"}}]),
        s.event({"choices": None, "base_resp": {"status_code": 1027, "status_msg": "boom"}}),
        *OUTSIDE_EVENTS,
    ],
)
def test_an_error_inside(sent):
    """Also where it is no event, and [DONE] follows it: the text before it is no answer."""
    with pytest.raises(StreamError) as raised:
        read([s.chunk({"content": "a"}), sent, s.DONE])
    assert b"boom" in raised.value.body


@pytest.mark.parametrize("sent", [one.rstrip(b"\n") for one in OUTSIDE_EVENTS])
@pytest.mark.parametrize("reader", [CompletionsReader, ResponsesReader])
def test_an_error_is_the_last_that_comes(sent, reader):
    body = StreamBody(reader(), 0.0, 1_000)
    body.begin(200, "")
    body.feed(s.event({"type": "response.created", "choices": []}) + sent)
    assert b"boom" in body.body()


@pytest.mark.parametrize("harmless", ["error", "error: none", '{"ok": 1}', "[1]", "{", "[]"])
def test_lines_that_are_no_events_and_no_errors(harmless):
    sent = f"{harmless}\n\n".encode()
    assert read([s.chunk({"content": "a"}), sent, s.DONE])["choices"]


@pytest.mark.parametrize("harmless", [None, {}, "", {"code": 0, "message": ""}])
def test_no_error_inside(harmless):
    assert read([s.chunk({"content": "a"}, error=harmless), s.chunk(finish_reason="stop")])[
        "choices"
    ]


RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "model": "m",
    "output": [
        {
            "type": "message",
            "content": [{"type": "output_text", "text": "Hello"}],
            "status": "completed",
        }
    ],
    "usage": {"input_tokens": 3, "output_tokens": 1, "total_tokens": 4},
}


def test_a_response():
    reader = ResponsesReader()
    assert read(s.response_events(RESPONSE, "Hel", "lo"), reader) == RESPONSE
    assert reader.started
    assert reader.ended


@pytest.mark.parametrize(
    ("last", "response", "outcome"),
    [
        ("response.incomplete", {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
         Outcome.CUT_OFF),
        ("response.failed", {"status": "failed", "error": {"code": "server_error", "message": "x"}}, None),
    ],
)  # fmt: skip
def test_a_response_that_ends_otherwise(last, response, outcome):
    answer = read(s.response_events({**RESPONSE, **response}, "Hel", last=last), ResponsesReader())
    assert answer == {**RESPONSE, **response}
    found = outcome_of("/v1/responses", json.dumps(answer).encode())
    assert found.failed if outcome is None else found.outcome is outcome


def test_items_of_a_response_that_ends_without_them():
    items = [
        s.event({"type": "response.output_item.done", "output_index": at, "item": {"n": at}})
        for at in (1, 0)
    ]
    events = [*items, *s.response_events({**RESPONSE, "output": []})]
    assert read(events, ResponsesReader())["output"] == [{"n": 0}, {"n": 1}]


def test_a_response_without_its_last_event():
    with pytest.raises(StreamBroken):
        read(s.response_events(RESPONSE, "Hel")[:-1], ResponsesReader())


@pytest.mark.parametrize(
    "sent",
    [
        s.event({"type": "error", "code": "server_error", "message": "boom"}, "error"),
        s.event({"error": {"code": "server_error", "message": "boom"}}),
        s.event([{"error": {"code": 503, "message": "boom"}}]),
        s.event({"code": 50508, "message": "boom", "data": None}),
        *OUTSIDE_EVENTS,
    ],
)
def test_an_error_among_the_events_of_a_response(sent):
    with pytest.raises(StreamError) as raised:
        read([*s.response_events(RESPONSE, "Hel")[:-1], sent, s.DONE], ResponsesReader())
    assert b"boom" in raised.value.body
