"""XLSX as tables: the cells as people see them, faults by cell, and files that are no workbooks."""

import gzip
import io
import struct
import tracemalloc
import zipfile
from datetime import date, datetime, time, timedelta

import openpyxl
import pandas
import pytest
import xlsxwriter
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from simple_batch import intake
from simple_batch.core.domain import Fault
from simple_batch.core.errors import UploadRejected, UploadTooLarge

from .workbooks import SETTINGS, by_openpyxl, changed, table, texts

SHEET = "xl/worksheets/sheet1.xml"
HEAD = ["id", "问题", "n"]


def sheet_of(rows: str, before: str = "") -> str:
    return (
        f'<?xml version="1.0"?>{before}<worksheet xmlns="http://schemas.openxmlformats.org/'
        f'spreadsheetml/2006/main"><sheetData>{rows}</sheetData></worksheet>'
    )


HEADER_ROW = (
    '<row r="1"><c r="A1" t="inlineStr"><is><t>a</t></is></c><c r="B1" t="str"><v>b</v></c></row>'
)


def with_rows(rows: str, header: str = HEADER_ROW, before: str = "") -> bytes:
    return changed(by_openpyxl([HEAD]), {SHEET: sheet_of(header + rows, before)})


def test_cells_are_read_as_people_see_them(tmp_path):
    rows = [
        ["kind", "value"],
        ["whole", 1],
        ["whole as a float", 3.0],
        ["float", 0.1],
        ["large", 123456789012],
        ["small", 1e-7],
        ["negative", -2.5],
        ["true", True],
        ["false", False],
        ["date", date(2024, 2, 29)],
        ["moment", datetime(2024, 2, 29, 13, 5, 6)],
        ["part of a second", datetime(2024, 2, 29, 13, 5, 6, 250_000)],
        ["time", time(7, 30)],
        ["long", timedelta(hours=36, minutes=5)],
        ["early", date(1900, 1, 31)],
        ["text", '  two\nlines, 引号 " & < '],
        ["digits", "007"],
        ["formula's sign", "'=1+1"],
        ["nothing", None],
    ]
    wanted = [
        "1",
        "3",
        "0.1",
        "123456789012",
        "1e-07",
        "-2.5",
        "TRUE",
        "FALSE",
        "2024-02-29",
        "2024-02-29T13:05:06",
        "2024-02-29T13:05:06.250",
        "07:30:00",
        "36:05:00",
        "1900-01-31",
        '  two\nlines, 引号 " & < ',
        "007",
        "'=1+1",
        "",
    ]
    found, items = table(tmp_path, by_openpyxl(rows))
    assert (found.format, found.columns, found.sheets) == ("xlsx", rows[0], ["Sheet"])
    assert [cells[1] for cells in texts(items)] == wanted
    kept = [item.kept[1] for item in items]
    assert kept[:7] == [1, 3, 0.1, 123456789012, 1e-7, -2.5, True]
    assert kept[8] == {"at": "2024-02-29"}
    assert kept[-1] is None
    assert [item.line for item in items] == [*range(2, 20)]


@pytest.mark.parametrize("date_1904", [False, True])
@pytest.mark.parametrize("constant_memory", [False, True])
def test_what_xlsxwriter_writes(tmp_path, constant_memory, date_1904):
    file = io.BytesIO()
    options = {"constant_memory": constant_memory, "default_date_format": "d mmm yyyy"}
    book = xlsxwriter.Workbook(file, {**options, "date_1904": date_1904})
    sheet = book.add_worksheet("问 题")
    sheet.write_row(0, 0, ["id", "at"])
    sheet.write_string(1, 0, "_x000D_ a\tb\rc\r\n")
    sheet.write_datetime(1, 1, datetime(2026, 1, 2))
    book.close()
    found, items = table(tmp_path, file.getvalue())
    assert found.sheet == "问 题"
    assert texts(items) == [["_x000D_ a\tb\rc\r\n", "2026-01-02"]]


def test_what_pandas_writes(tmp_path):
    frame = pandas.DataFrame(
        {
            "name": ["甲", None, "c"],
            "score": [1.5, 2.0, float("nan")],
            "at": pandas.to_datetime(["2026-01-01", "2026-01-02 03:04:05", None], format="ISO8601"),
        }
    )
    for engine in ("openpyxl", "xlsxwriter"):
        file = io.BytesIO()
        frame.to_excel(file, index=False, engine=engine)
        found, items = table(tmp_path, file.getvalue())
        assert found.columns == ["name", "score", "at"]
        assert texts(items) == [
            ["甲", "1.5", "2026-01-01"],
            ["", "2", "2026-01-02T03:04:05"],
            ["c", "", ""],
        ]


cell = st.one_of(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20),
    st.integers(-(10**15), 10**15),
    st.floats(-1e300, 1e300),
    st.booleans(),
    st.datetimes(datetime(1901, 1, 1), datetime(9999, 12, 30)).map(
        lambda moment: moment.replace(microsecond=0)
    ),
    st.none(),
)


@given(rows=st.lists(st.lists(cell, min_size=3, max_size=3), min_size=1, max_size=8))
@hypothesis_settings(max_examples=80)
def test_our_reading_is_that_of_openpyxl(tmp_path, rows):
    file = io.BytesIO()
    book = xlsxwriter.Workbook(file, {"strings_to_formulas": False, "strings_to_urls": False})
    form = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
    sheet = book.add_worksheet()
    sheet.write_row(0, 0, HEAD)
    for at, row in enumerate([["first", 1, True], *rows], 1):
        for place, value in enumerate(row):
            if isinstance(value, str):
                sheet.write_string(at, place, value)
            elif isinstance(value, datetime):
                sheet.write_datetime(at, place, value, form)
            else:
                sheet.write(at, place, value)
    book.close()
    _, items = table(tmp_path, file.getvalue())
    theirs = openpyxl.load_workbook(io.BytesIO(file.getvalue()), data_only=True).active
    wanted = [list(row) for row in theirs.iter_rows(2, values_only=True, max_col=3)]
    wanted = [row for row in wanted if any(value not in (None, "") for value in row)]

    def value(kept):
        return datetime.fromisoformat(kept["at"]) if isinstance(kept, dict) else kept

    def plain(seen):
        return None if seen == "" else seen

    assert [[value(kept) for kept in item.kept] for item in items] == [
        [plain(seen) for seen in row] for row in wanted
    ]


def test_sheets_are_taken_by_name_and_the_first_is_the_usual_one(tmp_path):
    data = by_openpyxl([HEAD, ["1", "为什么", 2]], "一", Cover=[["q"], ["why?"]])
    assert texts(table(tmp_path, data)[1]) == [["1", "为什么", "2"]]
    found, items = table(tmp_path, data, "Cover")
    assert (found.sheet, found.sheets, texts(items)) == ("Cover", ["一", "Cover"], [["why?"]])
    with pytest.raises(UploadRejected, match=r"no sheet “cover”.*“一”, “Cover”"):
        table(tmp_path, data, "cover")
    book = openpyxl.load_workbook(io.BytesIO(data))
    book["一"].sheet_state = "hidden"
    book.active = 1
    file = io.BytesIO()
    book.save(file)
    assert table(tmp_path, file.getvalue())[0].sheet == "Cover"


def test_rows_may_have_gaps_and_the_table_may_stand_anywhere(tmp_path):
    book = openpyxl.Workbook()
    sheet = book.active
    sheet["C4"], sheet["D4"], sheet["C7"], sheet["D9"] = "a", "b", "x", 5
    sheet["A6"].font = openpyxl.styles.Font(bold=True)
    file = io.BytesIO()
    book.save(file)
    found, items = table(tmp_path, file.getvalue())
    assert found.columns == ["a", "b"]
    assert [(item.line, item.cells) for item in items] == [(7, ["x", ""]), (9, ["", "5"])]


def test_gzip_and_rich_texts_and_pronunciations(tmp_path):
    rows = (
        '<row r="2"><c r="A2" t="inlineStr"><is><r><t>on</t></r><r><rPr><b/></rPr><t>e</t></r>'
        '<rPh sb="0" eb="1"><t>no</t></rPh></is></c><c r="B2"><f>1+1</f><v>2</v></c></row>'
        '<row><c><v>3</v></c><c t="str"><f>""</f><v></v></c></row>'
        '<row r="5"><c r="A5" t="b"><v>1</v></c><c r="B5" t="d"><v>2024-01-01</v></c></row>'
    )
    data = changed(with_rows(rows), {"xl/workbook.xml": not_stale})
    for packed in (data, gzip.compress(data)):
        found, items = table(tmp_path, packed)
        assert found.columns == ["a", "b"]
        assert texts(items) == [["one", "2"], ["3", ""], ["TRUE", "2024-01-01"]]
        assert [item.line for item in items] == [2, 3, 5]


def test_prefixes_before_every_name(tmp_path):
    xml = sheet_of(HEADER_ROW + '<row r="2"><c r="A2"><v>7</v></c></row>')
    xml = xml.replace("<", "<x:").replace("<x:/", "</x:").replace("<x:?", "<?")
    xml = xml.replace("xmlns=", "xmlns:x=")
    assert texts(table(tmp_path, changed(by_openpyxl([HEAD]), {SHEET: xml}))[1]) == [["7", ""]]


def not_stale(workbook: str) -> str:
    return workbook.replace('fullCalcOnLoad="1"', "")


def cells_of(*cells: str) -> str:
    return "".join(f'<row r="{n}">{cell}</row>' for n, cell in enumerate(cells, 2))


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ('<c r="B3" t="e"><v>#N/A</v></c>', "cell B3 (“b”) holds the error #N/A"),
        ('<c r="B3"><f>A1+1</f></c>', "cell B3 (“b”) holds a formula that was never calculated"),
        ('<c r="B3"><f>A1+1</f><v></v></c>', "never calculated: open the file in a spreadsheet"),
        ('<c r="D3"><v>1</v></c>', "cell D3 stands beside the table"),
        ('<c r="ZZZZ3"><v>1</v></c>', "a sheet has no more columns"),
        ('<c r="B3" t="s"><v>77</v></c>', "names a text that the file does not hold"),
        ('<c r="B3" t="s"><v>x</v></c>', "names a text that the file does not hold"),
        ('<c r="B3"><v>1_000</v></c>', "'1_000', which is no number"),
        ('<c r="B3"><v>1e999</v></c>', "too large a number"),
        ('<c r="B3" t="str"><v>a_x0000_b</v></c>', "a NUL"),
        ('<c r="B3" t="str"><v>a_xD83D_b</v></c>', "remove it"),
        (f'<c r="B3" t="str"><v>{"x" * 3000}</v></c>', "MAX_REQUEST_BYTES"),
    ],
)
def test_a_fault_names_its_cell_and_the_other_rows_are_good(tmp_path, cell, expected):
    good = '<c r="A2"><v>1</v></c>'
    data = changed(
        with_rows(cells_of(good, cell, '<c r="A4"><v>2</v></c>')), {"xl/workbook.xml": not_stale}
    )
    _, items = table(tmp_path, data, MAX_REQUEST_BYTES=2000)
    assert [item.line for item in items] == [2, 3, 4]
    assert isinstance(items[1], Fault)
    assert expected in items[1].message
    assert str(items[1]).startswith("row 3: cell ")
    assert items[2].cells == ["2", ""]


def test_dates_that_are_none(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(["at"])
    for serial in (60, -1, 3e9, 59, 61):
        book.active.append([serial])
    for row in range(2, 7):
        book.active.cell(row, 1).number_format = "yyyy-mm-dd"
    file = io.BytesIO()
    book.save(file)
    _, items = table(tmp_path, file.getvalue())
    assert [isinstance(item, Fault) for item in items] == [True] * 3 + [False] * 2
    assert "is formatted as a date" in items[0].message
    assert [item.cells for item in items[3:]] == [["1900-02-28"], ["1900-03-01"]]


def test_formulas_of_programs_that_do_not_calculate_are_faults(tmp_path):
    """openpyxl writes no value, XlsxWriter a 0: both leave it to Excel."""
    _, items = table(tmp_path, by_openpyxl([["a", "b"], [1, "=A2+1"], [2, 5]]))
    assert "cell B2 (“b”) holds a formula" in items[0].message
    assert items[1].cells == ["2", "5"]
    file = io.BytesIO()
    book = xlsxwriter.Workbook(file)
    sheet = book.add_worksheet()
    sheet.write_row(0, 0, ["a", "b"])
    sheet.write_row(1, 0, [1, "=A2+1"])
    book.close()
    _, items = table(tmp_path, file.getvalue())
    assert "cell B2 (“b”) holds a formula" in items[0].message


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([HEAD], "no row under the header of the sheet"),
        ([], "is empty"),
        ([[1, 2], [3, 4]], "must name the columns"),
        ([["a", "=1+1"], [3, 4]], "cell B1 holds a formula"),
    ],
)
def test_headers_that_name_no_columns(tmp_path, rows, expected):
    with pytest.raises(UploadRejected, match=expected) as wrong:
        table(tmp_path, by_openpyxl(rows, "One", Two=[["q"], ["a"]]))
    assert "Other sheets: “Two”" in str(wrong.value)


TYPES = "[Content_Types].xml"
BOOK = "xl/workbook.xml"


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"xl/vbaProject.bin": b"x"}, "holds macros"),
        ({TYPES: lambda x: x.replace("sheet.main", "sheet.macroEnabled.main")}, "holds macros"),
        ({TYPES: lambda x: x.replace("spreadsheetml", "sheet.binary")}, "XLSB"),
        ({TYPES: lambda x: x.replace("spreadsheetml", "wordprocessingml")}, "a Word document"),
        ({TYPES: None}, "a ZIP archive and no XLSX"),
        (
            {TYPES: None, "mimetype": b"application/vnd.oasis.opendocument.spreadsheet"},
            "an OpenDocument spreadsheet",
        ),
        ({"_rels/.rels": None}, "names no workbook"),
        ({BOOK: None}, "the workbook is missing"),
        ({BOOK: lambda x: x[: len(x) // 2]}, "the workbook is broken"),
        ({SHEET: None}, "the sheet is missing"),
        ({SHEET: sheet_of(HEADER_ROW)[:-40]}, "the sheet is broken"),
        ({SHEET: b"<a>" * 200}, "nested too deep"),
        ({SHEET: sheet_of(HEADER_ROW, "<!DOCTYPE a [<!ENTITY b 'c'>]>")}, "document type"),
        (
            {"xl/_rels/workbook.xml.rels": lambda x: x.replace("worksheets/sheet1", "../../etc/x")},
            "the sheet is missing",
        ),
        (
            {"xl/_rels/workbook.xml.rels": lambda x: x.replace("/worksheet", "/chartsheet")},
            "no sheet with cells",
        ),
    ],
)
def test_what_is_no_workbook_is_refused_in_words(tmp_path, parts, expected):
    data = changed(by_openpyxl([HEAD, ["1", "a", 2]]), parts)
    with pytest.raises(UploadRejected, match=expected):
        table(tmp_path, data)


def test_a_part_that_begins_before_the_file_is_refused(tmp_path):
    """The directory of the archive says that it begins later than it does."""
    good = by_openpyxl([["a"], [1]])
    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        shift = archive.getinfo("[Content_Types].xml").header_offset + 1
    end = good.rindex(b"PK\x05\x06")
    (begins,) = struct.unpack("<I", good[end + 16 : end + 20])
    path = tmp_path / "upload"
    path.write_bytes(good[: end + 16] + struct.pack("<I", begins + shift) + good[end + 20 :])
    with pytest.raises(UploadRejected, match="cannot be unpacked"):
        intake.scan(path, SETTINGS)


def test_damaged_encrypted_and_old_files(tmp_path):
    data = by_openpyxl([HEAD, *([str(n), "why?", n] for n in range(500))])
    for broken in (data[:-100], data[: len(data) // 2]):
        with pytest.raises(UploadRejected, match="damaged or cut off"):
            table(tmp_path, broken)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        at = archive.getinfo(SHEET).header_offset + 400
    with pytest.raises(UploadRejected, match=r"cannot be unpacked|broken"):
        table(tmp_path, data[:at] + b"\0" * 300 + data[at + 300 :])
    with pytest.raises(UploadRejected, match="old kind"):
        table(tmp_path, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600)
    encrypted = b"\xd0\xcf\x11\xe0" + b"\0" * 600 + "EncryptedPackage".encode("utf-16-le")
    with pytest.raises(UploadRejected, match="encrypted"):
        table(tmp_path, encrypted)
    marked = bytearray(data)
    central = data.index(b"PK\x01\x02")
    while data[central : central + 4] == b"PK\x01\x02":
        struct.pack_into("<H", marked, central + 8, 1)
        central += 46 + sum(struct.unpack_from("<HHH", data, central + 28))
    with pytest.raises(UploadRejected, match="cannot be unpacked"):
        table(tmp_path, bytes(marked))


def test_bombs(tmp_path):
    bomb = with_rows(" " * 100_000_000)
    assert len(bomb) < 200_000
    with pytest.raises(UploadTooLarge, match="taken for a bomb"):
        table(tmp_path, bomb)
    data = by_openpyxl([HEAD, ["1", "a", 2]])
    with pytest.raises(UploadTooLarge, match="MAX_UNPACKED_BYTES"):
        table(tmp_path, data, MAX_UNPACKED_BYTES=5000)
    with pytest.raises(UploadRejected, match="no end"):
        table(tmp_path, with_rows(f'<row x="{"y" * 3_000_000}"/>'), MAX_REQUEST_BYTES=2000)
    many = changed(data, {f"x/{n}": b"" for n in range(10_100)})
    with pytest.raises(UploadTooLarge, match="parts"):
        table(tmp_path, many)


def test_a_large_workbook_is_streamed_in_little_memory(tmp_path):
    file = io.BytesIO()
    book = xlsxwriter.Workbook(file)
    sheet = book.add_worksheet()
    sheet.write_row(0, 0, HEAD)
    for n in range(20_000):
        sheet.write_row(n + 1, 0, [f"q-{n}", f"question {n}: " + "some words. " * 30, n])
    book.close()
    path = tmp_path / "upload"
    path.write_bytes(file.getvalue())
    reader = intake.Reader(path, SETTINGS, unique=False)
    tracemalloc.start()
    rows = iter(reader.table())
    first = next(rows)
    _, at_first = tracemalloc.get_traced_memory()
    count = 1 + sum(1 for _ in rows)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    reader.close()
    assert first.cells[0] == "q-0"
    assert count == 20_000
    assert at_first < 3_000_000, at_first
    assert most < 16_000_000, most  # the texts are 8 MB and stay in a file from 4 on


def test_a_template_over_a_workbook(tmp_path):
    path = tmp_path / "upload"
    path.write_bytes(
        by_openpyxl([["x"], ["y"]], "Cover", Data=[HEAD, ["k1", "为什么", 3], [None, "b", 2]])
    )
    template = intake.Template(
        user="{{问题}}", custom_id="id", parameters={"seed": "{{n}}"}, sheet="Data"
    )
    preview = intake.scan(path, SETTINGS, template=template)
    assert (preview.format, preview.sheet, preview.sheets) == ("xlsx", "Data", ["Cover", "Data"])
    assert [item.custom_id for item in preview.first] == ["k1", "request-2"]
    assert (
        preview.first[0].body
        == '{"messages":[{"role":"user","content":"为什么"}],"seed":3}'.encode()
    )
    assert preview.first[0].cells == '["k1","为什么",3]'.encode()
    assert intake.example(path, SETTINGS, template, 2).cells == b'[null,"b",2]'
    csv = tmp_path / "t.csv"
    csv.write_text("id,问题,n\n1,a,2\n")
    with pytest.raises(UploadRejected, match="only XLSX files have sheets"):
        intake.scan(csv, SETTINGS, template=template)
