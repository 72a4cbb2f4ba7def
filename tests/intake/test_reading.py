"""Plain lines are prompts, a table may have no header, and what is unclear is not decided in silence."""

import json

import pytest

from simple_batch import intake
from simple_batch.core import settings
from simple_batch.core.errors import UploadRejected
from simple_batch.intake import Reading, Template


def reader_of(tmp_path, text: str, reading=Reading(), template=None, filename=""):
    path = tmp_path / "upload"
    path.write_text(text)
    loaded = settings.load(environ={}, INSTANCE_PATH=str(tmp_path))
    return intake.Reader(path, loaded, template=template, reading=reading, filename=filename)


def prompts(reader) -> list[str]:
    try:
        return [json.loads(item.body)["messages"][0]["content"] for item in reader]
    finally:
        reader.close()


@pytest.mark.parametrize(
    "lines",
    [
        ["What is the capital of France?", "Who wrote Hamlet?", "Why is the sky blue?"],
        ["Hello, how are you?", "Fine, thanks.", "Well, that is good, too."],
        ["给我讲一个关于猫的故事", "翻译成英文：你好", "为什么天是蓝的"],
        [
            "Translate to French",
            "Summarize this long text for a child",
            "Write a poem about the sea",
        ],
        ["[INST] Tell me a joke [/INST]", "{name}, write a letter", "a [link] in a text"],
        ["what is this?"],
    ],
)
def test_lines_of_text_are_prompts(tmp_path, lines):
    reader = reader_of(tmp_path, "\n\n".join(lines) + "\n")
    assert reader.reading == Reading("utf-8", header=False, lines=True)
    assert prompts(reader) == lines
    assert reader.format == "lines"
    assert reader.blank == len(lines) - 1


def test_quotes_of_a_csv_file_are_no_part_of_the_prompt(tmp_path):
    reader = reader_of(tmp_path, '"What is this, please?"\n"Say ""hi"" to them."\n')
    assert prompts(reader) == ["What is this, please?", 'Say "hi" to them.']


@pytest.mark.parametrize(
    ("text", "lines", "header", "clear"),
    [
        ("question\nWhat is it?\nWho was that?\n", False, True, True),
        ("review text\nGood.\n", True, False, False),
        ("cat\ndog\nhorse\n", True, False, False),
        ("number\n1\n2\n", False, True, True),
        ("id,question\n1,What is it?\n", False, True, True),
        ("1,2\n3,4\n", False, False, True),
        (
            "What is the capital of France?,Paris\nWhat is that of Spain?,Madrid\n",
            False,
            False,
            True,
        ),
        ("Timestamp,How do you like it?\n2026-01-01,Very well. Thanks!\n", False, True, True),
    ],
)
def test_what_the_first_line_is_taken_for(tmp_path, text, lines, header, clear):
    reader = reader_of(tmp_path, text)
    reader.close()
    found = reader.reading
    assert (found.lines, found.header, reader.is_clear) == (lines, header, clear)


def test_a_table_without_a_header_has_numbered_columns(tmp_path):
    text = "1,What is it?\n2,Who?\n"
    template = Template(user="{{column_2}}", custom_id="column_1")
    reader = reader_of(tmp_path, text, template=template)  # the template says what it is
    assert prompts(reader) == ["What is it?", "Who?"]
    assert reader.columns == ["column_1", "column_2"]
    headed = reader_of(tmp_path, text, Reading(header=True), Template(user="{{What is it?}}"))
    assert prompts(headed) == ["Who?"]


def test_a_file_that_mixes_lines_and_json_is_refused_with_the_place(tmp_path):
    text = "What is this?\nAnd that thing there?\nWhy, then?\nHow come?\nReally so?\n" + json.dumps(
        {"messages": [{"role": "user", "content": "x"}]}
    )
    with pytest.raises(UploadRejected, match="Line 6 is JSON among lines of text") as refused:
        prompts(reader_of(tmp_path, text))
    assert refused.value.faults[0].line == 6


def test_lines_that_are_json_stay_jsonl(tmp_path):
    line = json.dumps({"messages": [{"role": "user", "content": "x"}]})
    reader = reader_of(tmp_path, f"{line}\n{line}\n", filename="a.txt")
    assert prompts(reader) == ["x", "x"]
    assert reader.format == "jsonl"
