"""Tables: dialects and encodings are detected, bad rows are named, templates are bounded."""

import csv
import gzip
import io
import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from simple_batch import intake
from simple_batch.core import settings
from simple_batch.core.domain import Fault, Request
from simple_batch.core.errors import InvalidInput, UploadRejected
from simple_batch.intake import Template

SETTINGS = settings.load(environ={}, INSTANCE_PATH="/nonexistent")
ASK = Template(user="{{question}}")


def read(tmp_path, data: bytes, template: Template | None = ASK, encoding: str = "", **overrides):
    path = tmp_path / "upload"
    path.write_bytes(data)
    loaded = settings.load(environ={}, INSTANCE_PATH=str(tmp_path), **overrides)
    reading = intake.Reading(encoding)
    reader = intake.Reader(path, loaded, template=template, reading=reading)
    try:
        items = list(reader)
    finally:
        reader.close()
    return reader, items


def one(tmp_path, template: Template, header="id,question", row="1,what?") -> Request | Fault:
    _, (item,) = read(tmp_path, f"{header}\n{row}\n".encode(), template)
    return item


def body(item: Request) -> dict:
    assert isinstance(item, Request), item
    return json.loads(item.body)


# without a byte-order mark UTF-16 is known by its line feeds
ENCODED = [
    (encoding, end)
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "gb18030")
    for end in ("\n", "\r\n", "\r")
    if (encoding, end) != ("utf-16-le", "\r")
]


@pytest.mark.parametrize(("encoding", "end"), ENCODED)
@pytest.mark.parametrize(
    ("delimiter", "form"), [(",", "csv"), ("\t", "tsv"), (";", "csv"), ("|", "csv")]
)
def test_dialects_and_encodings_are_detected(tmp_path, encoding, delimiter, form, end):
    rows = [
        ["编号", "question", "备注"],
        ["1", "这个产品的质量很好，我非常喜欢，推荐给大家购买", "a, b; c | d\te"],
        ["2", 'say "hi"', ""],
    ]
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter, lineterminator=end).writerows(rows)
    data = file.getvalue().encode(encoding)
    for packed in (data, gzip.compress(data)):
        reader, items = read(tmp_path, packed)
        assert (reader.format, reader.columns) == (form, rows[0])
        assert [json.loads(item.cells) for item in items] == rows[1:]
        assert reader.encoding == {"utf-8-sig": "utf-8", "utf-16": "utf-16-le"}.get(
            encoding, encoding
        )


common = st.characters(codec="gb2312", exclude_characters="\0")
anything = st.characters(exclude_categories=["Cs"], exclude_characters="\0")


@given(data=st.data(), delimiter=st.sampled_from(",\t;|"), packed=st.booleans())
@hypothesis_settings(max_examples=150)
def test_what_a_csv_writer_wrote_is_read_to_the_cell(tmp_path, data, delimiter, packed):
    encoding = data.draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "gb18030"]))
    cell = st.text(common if encoding == "gb18030" else anything, max_size=12)
    width = data.draw(st.integers(1, 4))
    quoting = data.draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    header = ["question", "b", "c", "d"][:width]
    rows = data.draw(st.lists(st.lists(cell, min_size=width, max_size=width), max_size=6))
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter, quoting=quoting, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerow(["first"] * width)
    writer.writerows(rows)
    raw = file.getvalue().encode(encoding)
    template = Template(user="{{question}}.")
    # a text of any characters, or of one, is uncertain
    chosen = encoding if encoding in ("gb18030", "utf-8") else ""
    reader, items = read(tmp_path, gzip.compress(raw) if packed else raw, template, chosen)
    assert reader.columns == header
    wanted = [["first"] * width, *(row for row in rows if any(row))]
    assert [json.loads(item.cells) for item in items] == wanted
    asked = [json.loads(item.body)["messages"][0]["content"] for item in items]
    assert asked == [f"{row[0]}." for row in wanted]


def test_lines_are_those_of_the_file_with_quoted_line_ends_too(tmp_path):
    data = b'id,question\n1,"a\n\nb"\n\n2,c\n3,d,e\n4,"x\r\ny"\n5,z\n'
    _, items = read(tmp_path, data)
    assert [item.line for item in items] == [2, 6, 7, 8, 10]
    assert isinstance(items[2], Fault)
    assert [item.index for item in items if isinstance(item, Request)] == [0, 1, 2, 3]


def test_many_blocks_are_read_as_one_whatever_they_cut(tmp_path, monkeypatch):
    monkeypatch.setattr("simple_batch.intake.source.BLOCK", 31)
    rows = [
        ["question", "b"],
        ["plain", "ascii"],
        *([f"这是第{n}个问题", 'a "b"\nc'] for n in range(20)),
    ]
    file = io.StringIO()
    csv.writer(file).writerows(rows)
    for encoding in ("utf-8", "gb18030"):
        reader, items = read(tmp_path, file.getvalue().encode(encoding))
        assert [json.loads(item.cells) for item in items] == rows[1:]
        assert reader.encoding == encoding


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"id,question\n", "no row under the header"),
        (b"question,id,question\n1,2,3\n", "the nearest is “question .1.”"),
        (b"1,2\n3,4\n", "must name the columns"),
        (b"id," + b"x" * 300 + b"\n1,2\n", "no name but a text"),
        (b"id,\"a\nb\"\n1,2\n", "no name but a text"),
        (b"\n".join([b",".join(b"c%d" % n for n in range(1200)), b"1"]), "more than 1,000"),
        (b"PK\x03\x04\x14\x00\x06\x00", "XLSX file is damaged"),
        (b"PAR1\x15\x04\x15", "Parquet file is damaged"),
        (b"\xff\xfe[\x00]\x00", "belongs to a table"),
        (b'{"messages": []}', "belongs to a table"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_read_as_a_whole(tmp_path, data, expected):
    with pytest.raises(UploadRejected, match=expected):
        read(tmp_path, data)


@pytest.mark.parametrize(
    ("row", "code", "expected"),
    [
        (b"2", "ragged_row", "“question” and what follows it are missing"),
        (b"2,hi, there", "ragged_row", "3 cells where the header has 2: put a cell"),
        (b"2,a\0b", "invalid_row", "column “question” holds a NUL"),
        (b"2,caf\xe9", "invalid_encoding", "save the file as UTF-8"),
        (b'2,"a" b', "invalid_row", "twice"),
        (b"2," + b"x" * 3000, "invalid_row", "MAX_REQUEST_BYTES"),
        (b"2,  ", "invalid_request", "comes out empty"),
        (b"1,same id", "duplicate_custom_id", "line 2"),
        (b"x" * 600 + b",y", "invalid_request", "column “id”"),
    ],
)
def test_a_faulty_row_is_named_and_the_others_are_good(tmp_path, row, code, expected):
    data = b"id,question\n1,good\n" + row + "\n3,good 一二三四五六七八九十百千\n".encode()
    template = Template(user="{{question}}", custom_id="id")
    _, items = read(tmp_path, data, template, MAX_REQUEST_BYTES=2000)
    assert isinstance(items[0], Request)
    assert isinstance(items[2], Request)
    assert (items[1].line, items[1].code) == (3, code)
    assert expected in items[1].message


def test_a_quote_that_is_never_closed_is_named_where_it_is_opened(tmp_path):
    _, items = read(tmp_path, b'id,question\n1,good\n2,"open\n3,x\n4,y\n')
    assert [item.line for item in items] == [2, 3]
    assert "never closed" in items[1].message


def test_a_quote_that_is_never_closed_does_not_fill_the_memory(tmp_path):
    path = tmp_path / "upload"
    path.write_bytes(b'id,question\n1,"open\n' + b"2,some text of a row\n" * 100_000)
    small = settings.load(environ={}, INSTANCE_PATH=str(tmp_path), MAX_REQUEST_BYTES=50_000)
    reader = intake.Reader(path, small, unique=False, template=ASK)
    tracemalloc.start()
    first = next(items := iter(reader))
    good = sum(isinstance(item, Request) for item in items)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    reader.close()
    assert (first.line, first.code) == (2, "invalid_row")
    assert "never closed" in first.message
    assert good > 90_000
    assert most < 4_000_000, most


@pytest.mark.parametrize("faulty", [b'"open', b'"Great" she said'])
def test_a_faulty_quote_in_a_single_column_does_not_make_letters_of_all_quotes(tmp_path, faulty):
    template = Template(user="{{question}}")
    _, items = read(tmp_path, b'question\n"a, b"\n"c"\n' + faulty + b"\n", template)
    assert [b'"a, b"' in item.body for item in items[:2]] == [True, False]
    assert b'"c"' in items[1].body and b'\\"' not in items[0].body + items[1].body
    assert (items[2].line, items[2].code) == (4, "invalid_row")


def test_a_tsv_may_take_quotes_for_letters(tmp_path):
    _, items = read(tmp_path, b'id\tquestion\n1\t"so" he said\n2\t"why\n')
    assert [json.loads(item.cells)[1] for item in items] == ['"so" he said', '"why']


def test_one_column_of_questions_and_the_excel_separator_line(tmp_path):
    _, items = read(tmp_path, b"question\nWhy, and how?\nWhat, when, where?\n")
    assert body(items[1])["messages"][0]["content"] == "What, when, where?"
    _, items = read(tmp_path, b"sep=;\r\nid;question\r\n1;a,b\r\n")
    assert (items[0].line, body(items[0])["messages"][0]["content"]) == (3, "a,b")


def test_without_a_template_a_table_says_that_it_needs_one(tmp_path):
    with pytest.raises(UploadRejected, match="a template is needed"):
        read(tmp_path, b"id,question\n1,a\n", None)
    path = tmp_path / "upload"
    path.write_bytes(b"id,question\n1,a\n2\n3,c\n")
    preview = intake.scan(path, SETTINGS)
    assert (preview.format, preview.columns) == ("csv", ["id", "question"])
    assert (preview.good, preview.fault_count, preview.first) == (2, 1, [])
    preview = intake.scan(path, SETTINGS, template=ASK)
    assert (preview.good, preview.fault_count, len(preview.first)) == (2, 1, 2)


def test_a_cell_that_holds_json_does_not_make_a_table_jsonl(tmp_path):
    reader, items = read(tmp_path, b'question\n{a brace}\n[1] a footnote\n')  # fmt: skip
    assert reader.format in ("csv", "tsv")
    assert len(items) == 2


# --- templates --------------------------------------------------------------------------------------


def test_what_a_template_makes_of_a_row(tmp_path):
    template = Template(
        system="Answer in {{ language }}.",
        user='{{Customer Name}} asks: {{ row["Customer Name"]|upper }} {{问题}}{% if note %} ({{ note|trim }}){% endif %}',
        parameters={
            "temperature": "{{t}}",
            "max_tokens": 5,
            "user": "u-{{language}}",
            "stop": ["{{language}}", "{{note}}"],
            "metadata": {"left out": "{{note}}", "text": "{{t|string}}"},
        },
    )
    header = "language,Customer Name,问题,note,t,custom_id"
    item = one(tmp_path, template, header, "en,Ann Lee,为什么？,,0.20,a-1")
    assert item.custom_id == "a-1"
    assert b'"temperature":0.20' in item.body
    assert body(item) == {
        "messages": [
            {"role": "system", "content": "Answer in en."},
            {"role": "user", "content": "Ann Lee asks: ANN LEE 为什么？"},
        ],
        "temperature": 0.2,
        "max_tokens": 5,
        "user": "u-en",
        "stop": ["en"],
        "metadata": {"text": "0.20"},
    }


@pytest.mark.parametrize("cell", ["abc", "1,5", "007", "0x1", "1e", "NaN", "-", "true", "1" * 40])
def test_only_a_number_is_sent_as_a_number(tmp_path, cell):
    template = Template(user="a", parameters={"x": "{{question}}"})
    assert body(one(tmp_path, template, row=f'1,"{cell}"'))["x"] == cell


def test_custom_ids(tmp_path):
    header, row = "custom_id,question", "a,b"
    assert one(tmp_path, ASK, header, row).custom_id == "a"
    numbered = Template(user="x", custom_id="")
    assert one(tmp_path, numbered, header, row).custom_id == "request-1"
    named = Template(user="x", custom_id="question")
    assert one(tmp_path, named, header, row).custom_id == "b"
    assert one(tmp_path, ASK, header, ",b").custom_id == "request-1"


NAMES = [
    "row",
    "if",
    "for",
    "loop",
    "range",
    "class",
    "a b",
    "a-b",
    "2023",
    "问题",
    "c.d",
    "Why?",
    "None",
]


def test_columns_may_have_any_name(tmp_path):
    template = Template(
        user=" ".join(f"{{{{ {name} }}}}" for name in NAMES) + "{% raw %}{{ a b }}{% endraw %}"
    )
    row = ",".join(f"v{n}" for n in range(len(NAMES)))
    content = body(one(tmp_path, template, ",".join(NAMES), row))["messages"][0]["content"]
    assert content == " ".join(f"v{n}" for n in range(len(NAMES))) + "{{ a b }}"


@pytest.mark.parametrize(
    ("template", "field", "expected"),
    [
        (Template(user="{{qestion}}"), "user", "the nearest is “question”"),
        (Template(user="x", system="a\n{{ ID2 }}"), "system", "line 2.*“id”"),
        (Template(user="x", parameters={"a": ["{{idd}}"]}), "parameters", "nearest is “id”"),
        (Template(user="x", custom_id="Idd"), "custom_id", "nearest is “id”"),
        (Template(user="a\n{{question"), "user", "line 2 of the template"),
        (Template(user="{% if question %}"), "user", "line 1"),
        (Template(user=" "), "user", "empty"),
        (Template(user="x", parameters={"messages": []}), "parameters", "set elsewhere"),
        (Template(user="x" * 300_000), "user", "200,000"),
        (Template(user="{{ question|nothing }}"), "user", "nothing"),
        (Template(user="{% include 'x' %}"), "user", "include"),
        (Template(user="{% macro f() %}{{ f() }}{% endmacro %}"), "user", "macro"),
        (Template(user="{{ 9 ** 9 ** 9 }}"), "user", "pow"),
        (Template(user="{{" + "(" * 5000 + "1" + ")" * 5000 + "}}"), "user", "cannot be read"),
        (Template(user="{% for a in question %}" * 30 + "{% endfor %}" * 30), "user", "nested"),
        (Template(user="{{ " + "9" * 5000 + " }}"), "user", "cannot be read"),
    ],
)
def test_a_template_that_does_not_fit_names_its_field_and_the_remedy(template, field, expected):
    with pytest.raises(InvalidInput, match=expected) as wrong:
        intake.Renderer(template, ["id", "question"], SETTINGS)
    assert wrong.value.field == field


LOOP = "{% for i in range(90000) %}"


@pytest.mark.parametrize(
    "user",
    [
        LOOP * 3 + "{% set x = i %}" + "{% endfor %}" * 3,
        LOOP + "{{ question }}" * 50 + "{% endfor %}",
        LOOP * 2 + "{% endfor %}" * 2,
        "{% for i in range(10000000) %}{% endfor %}",
        "{% set a = question %}" + "{% set a = a ~ a %}" * 60 + "{{ a }}",
        "{% set a = question %}" + "{% set a = a + a %}" * 60 + "{{ a }}",
        "{% set a = 99 %}" + "{% set a = a * a %}" * 60 + "{{ a }}",
        "{% set a = question %}" + "{% set a = a|replace('w', a) %}" * 60 + "{{ a }}",
        "{% set a = [question] %}" + "{% set a = [a, a] %}" * 60 + "{{ a|tojson }}",
        "{{ range(100000)|join('x' ~ question) }}" * 300,
        "{{ question * 1000000000 }}",
        "{{ '%01000000000d' % 1 }}",
        "{{ question.__class__.__mro__ }}",
        "{{ question['__class__'] }}",
        "{{ ''.__class__ }}",
        "{{ '{0.__class__}'.format(question) }}",
        "{{ range.__init__.__globals__ }}",
        "{{ row.__class__ }}",
        "{{ row.items() }}",
        "{{ row['nothing'] }}",
        "{{ question() }}",
        "{{ 1 / 0 }}",
        "{{ [question] }}",
        "{{ range }}",
    ],
)
def test_a_template_that_would_run_away_or_break_out_is_the_rows_fault(tmp_path, user):
    item = one(tmp_path, Template(user=user))
    assert isinstance(item, Fault), item
    assert (item.line, item.code) == (2, "template_error")


def test_a_large_cell_cannot_be_made_larger_without_end(tmp_path):
    user = LOOP + "{% if question|upper == question[1:] %}{% endif %}{% endfor %}x"
    item = one(tmp_path, Template(user=user), row="1," + "y" * 5_000_000)
    assert isinstance(item, Fault)


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("/v1/chat/completions", {"type": "image_url", "image_url": {"url": "http://a/b.png"}}),
        ("/v1/responses", {"type": "input_image", "image_url": "http://a/b.png"}),
    ],
)
def test_images_stand_where_the_endpoint_has_them(tmp_path, url, wanted):
    template = Template(user="{{question}}", images=["http://a/{{id}}.png"], url=url)
    made = body(one(tmp_path, template, row="b,what?"))
    (message,) = made.get("messages") or made["input"]
    assert (message["role"], message["content"][0]["text"]) == ("user", "what?")
    assert message["content"][1:] == [wanted]


def test_images_where_the_endpoint_takes_none():
    template = Template(user="x", images=["{{id}}"], url="/v1/embeddings")
    with pytest.raises(InvalidInput, match="take no images") as wrong:
        intake.Renderer(template, ["id"], SETTINGS)
    assert wrong.value.field == "images"


def test_one_fault_of_a_template_leaves_the_other_rows(tmp_path):
    _, items = read(tmp_path, b"question\n1\n0\n2\n", Template(user="{{ 6 // question|int }}"))
    assert [isinstance(item, Fault) for item in items] == [False, True, False]
    assert "division" in items[1].message


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (b'{"user": "{{a}}", "system": "s"}', Template(user="{{a}}", system="s")),
        ("\ufeff{{a}}？\n".encode(), Template(user="{{a}}？")),
        (b"{% if a %}b{% endif %}", Template(user="{% if a %}b{% endif %}")),
        (b"{a}: {Customer name}\n", Template(user="{a}: {Customer name}")),
        (b'{\n "user": "{{a}}"}', Template(user="{{a}}")),
    ],
)
def test_template_files(data, wanted):
    assert intake.template_of_file(data) == wanted
    assert intake.template_of(intake.template_text(wanted)) == wanted


@pytest.mark.parametrize(
    "data", [b"{}", b'{"user": 5}', b'{"user": "a", "x": 1}', b'{"user"', b"\xff", b"x" * 300_000]
)
def test_files_that_are_no_templates(data):
    with pytest.raises(InvalidInput) as wrong:
        intake.template_of_file(data)
    assert wrong.value.field == "template"
