"""Reasoning is separated from the answer, however the provider delivers it."""

import json

import pytest

from simple_batch.core import content
from simple_batch.core.reasoning import divide
from simple_batch.core.schema import given

from .standstill import LONGEST_S, Standstill


@pytest.mark.parametrize(
    ("text", "reasoning", "answer"),
    [
        ("<think>Hm.</think>Yes.", "Hm.", "Yes."),
        ("\ufeff\n <THINK>\nHm.\n</Think>\n\nYes.\n", "Hm.", "Yes.\n"),
        ("<thinking>Hm.</thinking> Yes.", "Hm.", "Yes."),
        ("<reasoning>Hm.</reasoning>\nYes.", "Hm.", "Yes."),
        ("<thought>Hm.</thought>Yes.", "Hm.", "Yes."),
        ('<think duration="3">Hm.</think >Yes.', "Hm.", "Yes."),
        ("<seed:think>Hm.</seed:think>Yes.", "Hm.", "Yes."),
        ("[THINK]Hm.[/THINK]Yes.", "Hm.", "Yes."),
        ("◁think▷Hm.◁/think▷Yes.", "Hm.", "Yes."),
        ("<think>\n\n</think>\n\nYes.", "", "Yes."),
        ("<think>One.</think>\n<think>Two.</think>\nYes.", "One.\n\nTwo.", "Yes."),
        ("<think>One, and then", "One, and then", ""),
        ("<think>One.</think><think>Two", "One.\n\nTwo", ""),
        ("<think>", "", ""),
        # the chat template has opened it
        ("Okay, so the user asks.\n</think>\n\nYes.", "Okay, so the user asks.", "Yes."),
        ("Hm.</think>Yes.", "Hm.", "Yes."),
        ("so it is 4 </think> Four", "so it is 4", "Four"),
        ("</think>\n\nYes.", "", "Yes."),
        ("Hm.</think>\n<think>More.</think>Yes.", "Hm.\n\nMore.", "Yes."),
        # another tag, or a quoted one, does not close it
        ("<think>a</thinking>b</think>c", "a</thinking>b", "c"),
        ("<think>I close with `</think>` later.</think>Yes.", "I close with `</think>` later.", "Yes."),
        ("<think>It's “</think>” then.</think>Yes.", "It's “</think>” then.", "Yes."),
        ('<think>They want "Paris"</think>"Paris"', 'They want "Paris"', '"Paris"'),
        ("<think>It's 'x'</think>'y'", "It's 'x'", "'y'"),
        ("<think>\n```\n</think>\n```\nok</think>Yes.", "```\n</think>\n```\nok", "Yes."),
        ("<think>\n```python\nx = 1\n</think>Yes.", "```python\nx = 1", "Yes."),
        # the tag is mentioned again in the answer
        ("<think>Hm.</think>Use <think> and </think>.", "Hm.", "Use <think> and </think>."),
    ],
)  # fmt: skip
def test_reasoning_at_the_beginning_is_separated(text, reasoning, answer):
    assert divide(text) == (reasoning, answer)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Yes.",
        "The tag <think>…</think> holds what a model reasons.",
        "`<think>` opens it.",
        "```\n<think>\nHm.\n</think>\n```",
        "Models end it with </think> and then answer.",
        "It ends with `</think>`, always.",
        'It ends with "</think>", always.',
        "思考以“</think>”结束。",
        "Template:\n```\n{reasoning}\n</think>\n{answer}\n```\n",
        '{"html": "a</think>b"}',
        '["</think>"]',
        "a < b, <thinker>x</thinker>, <b>c</b>",
        " leading space stays",
    ],
)
def test_tags_within_an_answer_stay(text):
    assert divide(text) == ("", text)


WORDS = {"type": "text", "text": "Yes."}
SUMMARY = [{"type": "summary_text", "text": "One."}, {"type": "summary_text", "text": "Two."}]
MESSAGES = {
    "tags": ({"content": "<think>Hm.</think>Yes."}, "Hm."),
    "tags in a part": ({"content": [{"type": "text", "text": "<think>Hm.</think>Yes."}]}, "Hm."),
    "tags over parts": (
        {"content": [{"type": "text", "text": "<think>Hm."}, {"type": "text", "text": "</think>Yes."}]},
        "Hm.",
    ),
    "reasoning_content": ({"content": "Yes.", "reasoning_content": "Hm."}, "Hm."),
    "reasoning": ({"content": "Yes.", "reasoning": "Hm."}, "Hm."),
    "both": ({"content": "Yes.", "reasoning": "H m.", "reasoning_content": "H m."}, "H m."),
    "field and tags": ({"content": "<think>\nMore.\n</think>\nYes.", "reasoning": "Hm."}, "Hm.\n\nMore."),
    "details": (
        {"content": "Yes.", "reasoning": "H m.", "reasoning_details": [
            {"type": "reasoning.text", "text": "H "}, {"type": "reasoning.text", "text": "m."},
            {"type": "reasoning.encrypted", "data": "AAAA"}]},
        "H m.",
    ),
    "details alone": (
        {"content": "Yes.", "reasoning_details": [{"type": "reasoning.summary", "summary": "Hm."}]},
        "Hm.",
    ),
    "Ollama": ({"content": "Yes.", "thinking": "Hm."}, "Hm."),
    "Mistral": (
        {"content": [{"type": "thinking", "thinking": [WORDS | {"text": "Hm."}], "closed": True}, WORDS]},
        "Hm.",
    ),
    "Anthropic": (
        {"content": [{"type": "thinking", "thinking": "Hm.", "signature": "AAAA"},
                     {"type": "redacted_thinking", "data": "AAAA"}, WORDS]},
        "Hm.",
    ),
    "part with a text": ({"content": [{"type": "reasoning", "text": "Hm."}, WORDS]}, "Hm."),
    "Gemini": ({"content": [{"text": "Hm.", "thought": True}, WORDS]}, "Hm."),
    "LiteLLM": ({"content": "Yes.", "thinking_blocks": [{"type": "thinking", "thinking": "Hm."}]}, "Hm."),
    "none": ({"content": "Yes.", "reasoning": None, "reasoning_details": []}, ""),
    "odd": ({"content": "Yes.", "reasoning": 7, "thinking": [[[[[[["x"]]]]]]]}, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", MESSAGES)
def test_reasoning_of_a_message_is_no_part_of_the_answer(name):
    message, reasoning = MESSAGES[name]
    response = {"choices": [{"message": {"role": "assistant", **message}}]}
    assert content.answer_of(response) == "Yes."
    assert content.answer_parts(response) == [{"kind": "text", "text": "Yes."}]
    assert content.reasoning_of(response) == reasoning
    assert given(json.dumps(response).encode()).text == "Yes."
    large = {**response, "padding": [0] * 30_000}  # read in pieces
    assert content.reasoning_of(content.loaded(json.dumps(large).encode())) == reasoning


@pytest.mark.parametrize(
    ("response", "reasoning"),
    [
        ({"choices": [{"text": "<think>Hm.</think>Yes."}]}, "Hm."),
        ({"choices": [{"text": "Yes.", "reasoning": "Hm."}]}, "Hm."),
        (
            {"reasoning": {"effort": "high"}, "output": [
                {"type": "reasoning", "summary": SUMMARY, "encrypted_content": "AAAA",
                 "content": [{"type": "reasoning_text", "text": "Hm."}]},
                {"type": "message", "content": [{"type": "output_text", "text": "Yes."}]}]},
            "One.\n\nTwo.\n\nHm.",
        ),
        (
            {"output": [{"type": "message", "content": [
                {"type": "output_text", "text": "<think>Hm.</think>Yes."}]}]},
            "Hm.",
        ),
    ],
)  # fmt: skip
def test_reasoning_of_other_endpoints_is_no_part_of_the_answer(response, reasoning):
    assert content.answer_of(response) == "Yes."
    assert content.answer_parts(response) == [{"kind": "text", "text": "Yes."}]
    assert content.reasoning_of(response) == reasoning
    assert given(json.dumps(response).encode()).text == "Yes."


def test_a_request_keeps_its_reasoning():
    text = "<think>Hm.</think>Yes."
    body = {"messages": [{"role": "assistant", "content": text}, {"role": "user", "content": text}]}
    assert content.prompt_of(body) == text
    assert [message["text"] for message in content.messages_of(body)] == [text, text]


@pytest.mark.parametrize("message", [{}, {"content": None}, {"content": "<think>Hm."}])
def test_an_answer_of_reasoning_alone_is_empty(message):
    response = {"choices": [{"message": {"reasoning": "Hm.", **message}}]}
    assert content.answer_of(response) == ""
    assert content.answer_parts(response) == []
    assert content.reasoning_of(response) == "Hm."


def test_an_answer_without_text_is_its_refusal_or_its_calls():
    calls = [{"function": {"name": "look_up", "arguments": "{}"}}]
    refused = {"choices": [{"message": {"content": None, "refusal": "I can't."}}]}
    called = {"choices": [{"message": {"content": None, "tool_calls": calls}}]}
    item = {"type": "function_call", "name": "look_up", "arguments": "{}"}
    refusal = {"type": "message", "content": [{"type": "refusal", "refusal": "I can't."}]}
    assert content.answer_of(refused) == content.answer_of({"output": [refusal]}) == "I can't."
    assert json.loads(content.answer_of(called)) == calls
    assert json.loads(content.answer_of({"output": [item]})) == [item]


@pytest.mark.parametrize(
    "text",
    [
        "<think>" + "lorem ipsum " * 300_000,
        "lorem </thin " * 300_000,
        "<think>```</think>" * 200_000,
        "<think>`</think>`" * 200_000,
        "<think></think>" * 200_000,
        "[THINK" + "<think " * 500_000,
    ],
)
def test_long_texts_are_divided_quickly(text):
    with Standstill() as held:
        divide(text)
    assert held.longest_s < LONGEST_S
