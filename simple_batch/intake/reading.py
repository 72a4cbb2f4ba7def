"""How a text file is read: its encoding, whether its lines are prompts, whether its first row is a header.

What is not said is guessed from the beginning of the file. A guess is ``clear`` where nothing speaks
against it; where it is not, a page shows it with a switch and a command asks for the option.
"""

import csv
import io
from collections.abc import Collection

import msgspec

from ..core.errors import UploadRejected
from ..core.lazy_pattern import lazy_pattern
from ..core.messages import translatable
from .table import first_rows

MOST_NAME = 40  # characters of a column's name
_MOST_WORDS = 3
_MOST_CJK = 8  # characters of a name without spaces
_SENTENCE = lazy_pattern(r"[?!;？！。；…]|[.,:，：、]\s|[.:，、：]$|\n")
_CJK = lazy_pattern("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")
_FIGURE = lazy_pattern(r"[-+]?[\d.,:/\-\s%]+")
_NUMBERED = lazy_pattern(r"column_(\d+)")
# single words that head a column of texts
_USUAL = frozenset(
    [
        "prompt",
        "question",
        "query",
        "input",
        "instruction",
        "text",
        "content",
        "message",
        "review",
        "comment",
        "title",
        "name",
        "id",
        "custom_id",
        "user",
        "system",
        "sentence",
        "source",
        "answer",
        "label",
        "description",
        "问题",
        "提问",
        "提示词",
        "提示",
        "输入",
        "文本",
        "内容",
        "评论",
        "标题",
        "编号",
        "質問",
        "문장",
        "질문",
    ]
)


class Reading(msgspec.Struct, frozen=True, omit_defaults=True):
    """``encoding``: see ``encodings``; empty: detected. ``lines``: each line is a prompt. ``header``: the
    first row of a table names its columns; without one they are column_1, column_2, … None: guessed."""

    encoding: str = ""
    header: bool | None = None
    lines: bool | None = None


class Guess(msgspec.Struct, frozen=True):
    """What a file that is no JSON is. ``clear`` False where it may be meant otherwise."""

    lines: bool
    header: bool
    clear: bool = True


def guessed(head: bytes, filename: str = "", wanted: Collection[str] | None = None) -> Guess:
    """What a text that begins so is, which is no JSON. ``wanted`` are the columns that a template
    uses, None where there is no template: with one the file is a table."""
    sample, delimiter, (first, *others) = first_rows(head)
    if wanted is not None:
        return _for_template(first, others, wanted)
    if len(first) <= 1 or _is_prose(first, others, delimiter, sample):
        return _one_column(sample, filename)
    return Guess(False, not _is_headless(first, others))


def _for_template(first: list[str], others: list[list[str]], wanted: Collection[str]) -> Guess:
    names = {name.strip() for name in first}
    if any(name in names for name in wanted):
        return Guess(False, True)
    if wanted:
        return Guess(False, not all(map(_NUMBERED.fullmatch, wanted)))
    return Guess(False, not _is_headless(first, others))


def _one_column(sample: str, filename: str) -> Guess:
    """Lines, or a column under its name."""
    name, *below = [line.strip() for line in sample.split("\n") if line.strip()] or [""]
    is_text = filename.lower().removesuffix(".gz").endswith(".txt")
    if is_sentence(name):
        return Guess(True, False)
    if name.casefold() in _USUAL:
        return Guess(False, True)
    if not below:
        return Guess(True, False)
    differs = all(map(_FIGURE.fullmatch, below)) or sum(map(is_sentence, below)) > len(below) / 2
    if _is_word(name) and differs and not _FIGURE.fullmatch(name):
        return Guess(False, True, clear=not is_text)
    return Guess(True, False, clear=is_text)


def _is_prose(first: list[str], others: list[list[str]], delimiter: str, sample: str) -> bool:
    """Whether what divides the cells are the commas of sentences."""
    if delimiter == "\t" or (not any(map(is_sentence, first)) and not _ends_as_sentence(first)):
        return False
    if '"' in sample and any(
        "\n" in cell or delimiter in cell for row in [first, *others] for cell in row
    ):
        return False
    spaced = all(cell[:1].isspace() or not cell for row in [first, *others] for cell in row[1:])
    return spaced or any(len(row) != len(first) for row in others)


def _ends_as_sentence(cells: list[str]) -> bool:
    return cells[-1].rstrip().endswith(tuple(".?!。？！…"))


def _is_headless(first: list[str], others: list[list[str]]) -> bool:
    """Whether the first row is like those below it, and no column is headed by a name."""
    if all(_FIGURE.fullmatch(cell.strip() or "0") for cell in first):
        return True
    if not any(map(is_sentence, first)):
        return False
    alike = False
    for place, cell in enumerate(first):
        below = [row[place].strip() for row in others if len(row) > place and row[place].strip()]
        if not below:
            continue
        if not _FIGURE.fullmatch(cell.strip()) and all(map(_FIGURE.fullmatch, below)):
            return False
        sentences = sum(map(is_sentence, below))
        alike = alike or (is_sentence(cell) and sentences > len(below) / 2)
    return alike


def is_sentence(text: str) -> bool:
    """Whether it is unlike the name of a column: long, of many words, or with the marks of a sentence."""
    text = text.strip()
    if len(text) > MOST_NAME or _SENTENCE.search(text):
        return True
    return len(text.split()) > _MOST_WORDS or len(_CJK.findall(text)) > _MOST_CJK


def _is_word(text: str) -> bool:
    return len(text.split()) == 1


def unclear() -> UploadRejected:
    """The refusal of a file whose first line may be a prompt or a name."""
    return UploadRejected(
        translatable(
            "It is unclear whether the first line is a prompt or the name of a column. Choose "
            "--lines (one prompt per line), or --header or --no-header with --template FILE."
        )
    )


def quoted_cells(lines: list[str]) -> bool:
    """Whether each of these lines is one quoted cell of a CSV file."""
    return bool(lines) and all(
        len(line) > 1 and line[0] == line[-1] == '"' and _cells(line) == 1 for line in lines
    )


def _cells(line: str) -> int:
    try:
        return len(next(csv.reader(io.StringIO(line), strict=True), []))
    except csv.Error:
        return 0
