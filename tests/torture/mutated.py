"""Files that are almost right: a good file for every reader, changed at random."""

import gzip
import io
import json
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from tests.intake.workbooks import by_openpyxl

ROWS = 6
SCRAPS = (
    b"\0",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"NaN",
    b"-1e999",
    b"9" * 400,
    b"\\ud800",
    b'"',
    b"'",
    b",",
    b"\t",
    b"\r",
    b"\n",
    b"{",
    b"[" * 200,
    b"]",
    b"{{",
    b"}}",
    b"\\",
    b"null",
    b'"custom_id":"x"',
    b'"messages":[]',
    b'"body":7',
    b"=1+1",
    b"PK\x03\x04",
    b"PAR1",
    b"\x1f\x8b",
)


def good_files() -> dict[str, bytes]:
    """By name: every format that is read, and a zip that is none of them."""
    chats = [
        {"custom_id": f"r{n}", "messages": [{"role": "user", "content": f"q {n} 好 😀"}], "n": 1}
        for n in range(ROWS)
    ]
    batch = [
        {"custom_id": c["custom_id"], "method": "POST", "url": "/v1/chat/completions",
         "body": {"model": "m", "messages": c["messages"]}}
        for c in chats
    ]  # fmt: skip
    rows = [["id", "question", "price"], *([n, f"what, “{n}”?", n / 3] for n in range(ROWS))]
    table = "\n".join(",".join(f'"{cell}"' for cell in row) for row in rows)
    columns = {name: [row[at] for row in rows[1:]] for at, name in enumerate(rows[0])}
    parquet, zipped = io.BytesIO(), io.BytesIO()
    pq.write_table(pa.table(columns), parquet)
    lines = "\n".join(map(json.dumps, chats))
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("requests.jsonl", lines)
        archive.writestr("../../etc/passwd", lines)
    plain = {
        "chats.json": json.dumps(chats, ensure_ascii=False).encode(),
        "messages.json": json.dumps([c["messages"] for c in chats]).encode(),
        "chats.jsonl": lines.encode(),
        "batch.jsonl": "\n".join(map(json.dumps, batch)).encode(),
        "objects.json": json.dumps(
            [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
        ).encode(),
        "table.csv": table.encode(),
        "table.tsv": table.replace(",", "\t").encode("utf-16"),
        "table.gb18030.csv": table.encode("gb18030"),
        "table.xlsx": by_openpyxl(rows, more=[["a"], [1]]),
        "table.parquet": parquet.getvalue(),
        "requests.zip": zipped.getvalue(),
    }
    return {**plain, **{f"{name}.gz": gzip.compress(data, 1) for name, data in plain.items()}}


FILES = good_files()


@st.composite
def mutated(draw) -> tuple[str, bytes]:
    """A name and the bytes sent under it: a good file with some changes, in the file or in what it
    packs."""
    name = draw(st.sampled_from(sorted(FILES)))
    data = FILES[name]
    inside = draw(st.booleans())
    if name.endswith(".gz") and inside:
        return name, gzip.compress(draw(_changed(gzip.decompress(data))), 1)
    if name.endswith((".xlsx", ".zip")) and inside:
        return name, draw(_repacked(data))
    if draw(st.integers(0, 9)) == 0:  # under another's name
        name = draw(st.sampled_from(sorted(FILES)))
    return name, draw(_changed(data))


@st.composite
def _changed(draw, data: bytes) -> bytes:
    for _ in range(draw(st.integers(1, 4))):
        if not data:
            break
        at = draw(st.integers(0, len(data) - 1))
        length = draw(st.integers(1, max(1, min(64, len(data) // 4))))
        kind = draw(st.integers(0, 6))
        if kind == 0:
            data = data[:at] + bytes([data[at] ^ 1 << draw(st.integers(0, 7))]) + data[at + 1 :]
        elif kind == 1:
            data = data[:at] + draw(st.binary(min_size=1, max_size=16)) + data[at:]
        elif kind == 2:
            data = data[:at] + data[at + length :]
        elif kind == 3:
            data = (
                data[:at] + data[at : at + length] * draw(st.integers(2, 40)) + data[at + length :]
            )
        elif kind == 4:
            data = data[:at]
        elif kind == 5:
            data = (
                data[:at]
                + draw(st.sampled_from(SCRAPS))
                + data[at + length * draw(st.booleans()) :]
            )
        else:
            other = FILES[draw(st.sampled_from(sorted(FILES)))]
            cut = draw(st.integers(0, len(other) - 1))
            data = data[:at] + other[cut : cut + 200] + data[at:]
    return data


@st.composite
def _repacked(draw, data: bytes) -> bytes:
    """An archive with one of its parts changed, gone, or there twice."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = draw(st.sampled_from(sorted(parts)))
    kind = draw(st.integers(0, 5))
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for part, content in parts.items():
            if part == name and kind == 0:
                continue
            archive.writestr(part, draw(_changed(content)) if part == name and content else content)
        if kind == 1:
            archive.writestr(f"{name}/../x", b"x")
    return made.getvalue()
