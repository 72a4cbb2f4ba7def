"""Files written by LibreOffice 7.4: a workbook, also saved as UTF-16 and GB18030 text."""

from pathlib import Path

import pytest

from simple_batch.intake import Reader

from .workbooks import SETTINGS, texts

FILES = Path(__file__).parent / "files"

HEADER = ["code", "question", "price", "share", "asked on", "at", "good?", "half", "note"]
QUESTION = "Was ist 酵母?\nIn one line."
CELLS = [
    ["007", QUESTION, "1234.5", "0.125", "2026-11-24", "2026-11-24T18:30:15", "TRUE", "617.25"],
    ["00 8", "😀 emoji & <tags>", "-5", "1", "1999-12-31", "1999-12-31", "FALSE", "-2.5"],
    ["9", "plain bold", " 12 ", "0.3333", "", "06:45:00", "", "DONE"],
]
SHOWN = [
    ["007", QUESTION, "1,234.50", "12.5%", "2026-11-24", "2026-11-24 18:30:15", "TRUE", "617.25"],
    [
        "00 8",
        "😀 emoji & <tags>",
        "-5.00",
        "100.0%",
        "1999-12-31",
        "1999-12-31 0:00:00",
        "FALSE",
        "-2.5",
    ],
    ["9", "plain bold", " 12 ", "33.3%", "", "6:45:00", "", "DONE"],
]
NOTES = ['a, "quoted"; word', "=not a formula", "'kept"]


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("libreoffice.xlsx", CELLS),  # formulas by their values, texts that look like some
        ("libreoffice-utf16.csv", SHOWN),
        ("libreoffice-gb18030.tsv", SHOWN),
    ],
)
def test_files_of_libreoffice_are_read_to_the_cell(name, cells):
    reader = Reader(FILES / name, SETTINGS, unique=False)
    try:
        table = reader.table()
        assert table.header == HEADER
        assert texts(list(table)) == [[*row, note] for row, note in zip(cells, NOTES, strict=True)]
    finally:
        reader.close()
