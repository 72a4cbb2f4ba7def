"""Faults name the line and the place in the terms of the file; no word of a parser is left."""

import gzip
import io
import json
import re
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from simple_batch import intake
from simple_batch.core import redaction
from simple_batch.core.domain import Fault
from simple_batch.core.errors import UploadRejected
from simple_batch.core.excerpt import excerpt
from simple_batch.core.json_faults import offset_of, syntax_fault

from .test_table import SETTINGS
from .workbooks import by_openpyxl

PARSERS = re.compile(
    r"Expected `|got `|truncated|malformed|\(byte|\(char|Expecting|line contains|iterator should|"
    r"Traceback|Error|zlib|CRC-32|not a zip|Jinja|end of print|expected token|thrift|Magic|0x"
)
GOOD = {"messages": [{"role": "user", "content": "x"}]}


def read(tmp_path, data, template=None):
    (tmp_path / "up").write_bytes(data)
    reader = intake.Reader(tmp_path / "up", SETTINGS, template=template)
    try:
        return reader, list(reader)
    finally:
        reader.close()


def faulty(tmp_path, line: bytes) -> Fault:
    good = json.dumps(GOOD).encode()
    _, items = read(tmp_path, good + b"\n" + line + b"\n" + good)
    assert [isinstance(item, Fault) for item in items] == [False, True, False], items
    return items[1]


@pytest.mark.parametrize(
    ("line", "message", "marked"),
    [
        ('{"messages": "hi"}', "“messages” must be a list; here it is text.", '"hi"}'),
        ('{"messages": {"a": 1}}', "“messages” must be a list; here it is an object.", '{"a": 1}}'),
        (
            '{"messages": [{"role": "user", "content": "a"}, "b"]}',
            "message 2 must be an object; here it is text.",
            '"b"]}',
        ),
        (
            '{"messages": [{"role": 7, "content": "a"}]}',
            "message 1: “role” must be text; here it is a number.",
            '7, "content": "a"}]}',
        ),
        (
            '{"messages": [{"content": "a"}]}',
            'message 1: "role" is missing.',
            '{"content": "a"}]}',
        ),
        (
            '{"messages": [{"role": "user", "content": 1}]}',
            "message 1: “content” must be text or a list; here it is a number.",
            "1}]}",
        ),
        ('["x"]', 'must be an object like {"messages": [...]}; here it is a list.', '["x"]'),
        ('{"messages": [', "the text ends in the middle of the JSON: ] is missing.", ""),
        ('{"messages": "x', 'the text ends in the middle of the JSON: " is missing.', ""),
        (
            '{"messages": [], "n": NaN}',
            "NaN is not JSON: write null, or leave it out.",
            "NaN}",
        ),
        ('{"messages": [], "a": True}', "True is not JSON: write true.", "True}"),
        ("{'messages': []}", "' is not a quote of JSON", "'messages': []}"),
        ('{"messages": [],}', "a comma stands before }: remove it.", ",}"),
        ('{"messages": “x”}', '“ is not a quote of JSON: write ".', "“x”}"),
        ('{"messages": [] // no\t}', "JSON has no comments", "// no␉}"),
        ('{"messages": ["a\tb"]}', "a tab stands in a text: write \\t.", '␉b"]}'),
        ('{"a": "\\q", "messages": []}', "\\q is not an escape of JSON", '\\q", "messages": []}'),
        ('{"messages": []} {}x', "more text follows the end of the JSON.", "{}x"),
        ("no", "no must be in double quotes.", "no"),
        ('{"messages": []， "a": 1}', "， is a full-width character", '， "a": 1}'),
    ],
)
def test_the_place_and_the_reason(tmp_path, line, message, marked):
    fault = faulty(tmp_path, line.encode())
    assert message in fault.message
    assert not PARSERS.search(fault.message)
    if marked is not None:
        assert fault.excerpt[fault.mark :] == marked


def test_any_mutation_of_a_line_is_explained_without_a_parser(tmp_path):
    line = b'{"messages": [{"role": "user", "content": "\\u00e9 \\n 1.5"}], "n": -1.5e3, "t": [true, null]}'
    seen = set()
    for at in range(len(line)):
        for change in (b"", b'"', b"}", b",", b"\\", b"\t", b"N", b"0", b":"):
            broken = line[:at] + change + line[at + 1 :]
            fault = syntax_fault(broken)
            if fault is not None:
                assert 0 <= fault.at <= len(broken)
                assert not PARSERS.search(fault.message), fault.message
                seen.add(fault.message)
    assert len(seen) > 20
    for end in range(1, len(line)):
        assert syntax_fault(line[:end]) is not None
    _, items = read(tmp_path, b"\n".join(line[:end] for end in range(20, len(line) - 1)))
    assert all(item.excerpt is not None for item in items[:50])


def test_a_long_line_is_cut_to_the_place_and_keys_are_masked():
    redaction.remember("the-secret-of-this-test")
    line = b'{"a": "' + b"x" * 10_000 + b'", "k": "the-secret-of-this-test", b: sk-abcdefgh12345}'
    found = excerpt(line, line.index(b" b:") + 1)
    assert len(found.text) < 120
    assert found.text[found.mark :].startswith("b: [key]")
    assert "the-secret" not in found.text
    assert found.text.startswith("…")
    across = excerpt(b"x the-secret-of-this-test y", 8)
    assert "secret" not in across.text
    assert excerpt(b"a\x1b[31m\xe2\x80\xae\xffb", 1).text == "a␛[31m\\u202e\\xffb"


def test_paths_within_json():
    raw = b' {"a": [1, {"b\\"c": [[], "x"]}], "d": {}}'
    assert raw[offset_of(raw, ("a", 1, 'b"c', 1)) :].startswith(b'"x"')
    assert raw[offset_of(raw, ("d",)) :] == b"{}}"
    assert raw[offset_of(raw, ("a", 9)) :].startswith(b"[1,")


def damaged() -> list[bytes]:
    file = io.BytesIO()
    pq.write_table(pa.table({"q": [f"question {n}" for n in range(500)]}), file)
    parquet = file.getvalue()
    book = by_openpyxl([["q"], ["a"]])
    torn = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(book)) as old, zipfile.ZipFile(torn, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, data[:-9] if name.endswith("sheet1.xml") else data)
    gzipped = gzip.compress(json.dumps(GOOD).encode() * 50)
    return [
        *(parquet[:end] for end in (6, len(parquet) // 2, len(parquet) - 5)),
        *(
            parquet[:at] + b"\xff" * 40 + parquet[at + 40 :]
            for at in range(4, len(parquet) - 60, 90)
        ),
        *(book[:end] for end in (30, len(book) // 2, len(book) - 9)),
        torn.getvalue(),
        gzipped[:-4],
        gzipped[:-12] + b"\0" * 12,
        gzipped[:20] + b"\xff" * 9 + gzipped[29:],
        b'q,n\n"a,1\n',
        b'q,n\n"a"b,1\n',
    ]


def test_damaged_files_are_refused_without_a_library_s_words(tmp_path):
    for data in damaged():
        try:
            _, items = read(tmp_path, data, intake.Template(user="{{q}}"))
        except UploadRejected as error:
            texts = [str(error)]
        else:
            texts = [str(item) for item in items if isinstance(item, Fault)]
        for text in texts:
            assert not PARSERS.search(text), text
