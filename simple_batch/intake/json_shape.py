"""How the items of a JSON file are laid out, by its beginning: one a line, an array, values that follow
each other, or a list within one object.

Sources of the wrapped forms: OpenAI's lists (``data``), the Hugging Face datasets server (``rows``, each
with its ``row``), pandas' ``to_json(orient="table")``.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Literal

import msgspec

from ..core.errors import UploadRejected
from ..core.json_faults import syntax_fault
from ..core.messages import Message, translatable
from ..core.stored_messages import LEFT_OUT_BESIDE
from .json_array import ArraySplitter
from .json_sequence import SequenceSplitter
from .request_checks import UNREADABLE, Bad

NAMES = (  # lists that hold the rows, whatever else is beside them
    *("rows", "data", "records", "items", "requests", "results", "examples", "samples", "entries"),
    *(
        "instances",
        "documents",
        "questions",
        "prompts",
        "dataset",
        "train",
        "value",
    ),
)
_SPLITS = ("test", "validation", "valid", "dev", "eval")  # of data sets, beside "train"
_REQUEST = ({"messages"}, {"body"}, {"params"}, {"custom_id", "method", "url"}, {"role", "content"})
_ROW = frozenset({"row_idx", "row", "truncated_cells"})
_MOST_BESIDE = 1 << 20  # bytes of what stands behind a list in its object
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{},:]', re.DOTALL)
_SPACE = b" \t\r\n"
_CONTINUED = (b"{", b"[", b",", b":")
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
Item = tuple[int, bytes | Bad | None]


class Shape(msgspec.Struct, frozen=True):
    """``kind`` is how the items are laid out. Of a list within an object: ``name`` is the list's,
    ``start`` the byte where it begins, ``unwrap`` whether each item is a row within an object. ``commas``:
    there is one at the end of each line."""

    kind: Literal["lines", "array", "sequence", "wrapped"]
    name: str = ""
    start: int = 0
    unwrap: bool = False
    commas: bool = False


def shape_of(head: bytes, is_conversation: Callable[[bytes], bool], whole: bool) -> Shape:
    """The layout of JSON that begins so; ``whole`` where that is all of it."""
    text = head.lstrip(_SPACE)
    first = text.split(b"\n", 1)[0].rstrip(_SPACE)
    if text[:1] == b"[":
        return Shape("lines" if is_conversation(first.rstrip(b",")) else "array")
    wrapped = _wrapped(head)
    if wrapped is not None:
        return wrapped
    if _is_value(first):
        return Shape("lines")
    if first.endswith(b",") and _is_value(first[:-1]):
        return Shape("lines", commas=True)
    if _is_sequence(text, first, whole):
        return Shape("sequence")
    return Shape("lines")


def first_items(head: bytes, shape: Shape, longest: int, count: int) -> list[bytes]:
    """The first items of a file that begins so, as far as they are whole."""
    if shape.kind == "lines":
        lines = [line for line in head.split(b"\n") if line.strip()]
        return [bare(line) if shape.commas else line for line in lines][:count]
    found: list[bytes] = []
    splitter = _splitter(shape, longest) if shape.kind != "wrapped" else ArraySplitter(longest, 0)
    split: Iterator[Item] = splitter.split([head[shape.start :]])
    try:
        for _line, raw in _rows(split) if shape.unwrap else split:
            found.append(raw if isinstance(raw, bytes) else b"")
            if len(found) == count:
                break
    except UploadRejected:  # only the beginning was looked at
        pass
    return found


def items(
    shape: Shape, blocks: Iterable[bytes], longest: int, notes: list[Message]
) -> Iterator[Item]:
    """The items of a file that is not one of lines; what is left out is added to ``notes`` at the end.
    Raises UploadRejected."""
    if shape.kind != "wrapped":
        yield from _splitter(shape, longest).split(blocks)
        return
    before, splitter = bytearray(), ArraySplitter(longest, _MOST_BESIDE)
    found = splitter.split(_from(shape.start, blocks, splitter, before))
    yield from _rows(found) if shape.unwrap else found
    names = _names_beside(shape, bytes(before) + b"[]" + bytes(splitter.rest))
    if names:
        shown = ", ".join(f"“{name[:40]}”" for name in names[:10])
        notes.append(LEFT_OUT_BESIDE(name=shape.name, names=shown))


def bare(line: bytes) -> bytes:
    """A line without the comma at its end."""
    stripped = line.rstrip(_SPACE)
    return stripped[:-1] if stripped.endswith((b"},", b"],")) else line


def refusal_of_columns(first: list[bytes]) -> Message | None:
    """Why an object that is the whole file holds no rows, where all its values are lists or objects: a
    table that pandas wrote by its columns or by its index, or rows that lie deeper."""
    try:
        fields = _fields(first[0])
    except UNREADABLE:
        return None
    marks = {bytes(value)[:1] for value in fields.values()}
    is_split = {"columns", "data"} <= fields.keys()
    if any(shape <= fields.keys() for shape in _REQUEST) or not (
        is_split or marks in ({b"{"}, {b"["})
    ):
        return None
    return translatable(
        "The file is one object, not a list of rows. Write the rows as a list, or one a line: in pandas "
        'to_json(orient="records", lines=True).'
    )


# --- telling them apart ---------------------------------------------------------------------------


def _is_value(raw: bytes) -> bool:
    return raw[:1] in (b"{", b"[") and syntax_fault(raw) is None


def _is_sequence(text: bytes, first: bytes, whole: bool) -> bool:
    """Whether an object goes on over several lines, or several stand in the first one."""
    found: list[tuple[int, bytes | None]] = []
    try:
        found += islice(SequenceSplitter(len(text)).split([text]), 2)
        ends = True
    except UploadRejected:
        ends = False
    if found and found[0][1] is not None and _is_value(found[0][1]):
        over_lines = b"\n" in found[0][1] and first.endswith(_CONTINUED)
        return over_lines or (len(found) == 2 and found[1][0] == found[0][0])
    return not ends and not found and not whole and first == b"{"


def _wrapped(head: bytes) -> Shape | None:
    """The list of rows in the object that a file is, where it is one."""
    lists, names, end = _lists_in(head)
    if any(shape <= names for shape in _REQUEST):
        return None
    if end is not None and head[end:].strip(_SPACE):
        return None  # more values follow: objects of one kind
    if {"columns", "data"} <= names:
        return None  # pandas' "split": no row names its columns
    name = next((name for name in NAMES if name in lists), None)
    if name is None and len(lists) == 1 and (end is None or len(names) == 1):
        name = next(iter(lists))
    if name is None:
        return None
    shape = Shape("wrapped", name, lists[name])
    first = first_items(head, shape, len(head), 3)
    return msgspec.structs.replace(shape, unwrap=bool(first) and all(map(_is_wrapped_row, first)))


def _lists_in(head: bytes) -> tuple[dict[str, int], set[str], int | None]:
    """Of the object that a file begins with: its lists of objects and where they begin, all its names,
    and where it ends (None: not in this part)."""
    lists: dict[str, int] = {}
    names: set[str] = set()
    depth, before, name = 0, b"", ""
    for token in _TOKEN.finditer(head):
        mark = token[0]
        if depth == 1 and mark == b":" and before[:1] == b'"':
            name = _text(before)
            names.add(name)
        elif mark in (b"[", b"{"):
            if depth == 1 and mark == b"[" and before == b":" and _holds_objects(head, token.end()):
                lists[name] = token.start()
            depth += 1
        elif mark in (b"]", b"}"):
            depth -= 1
            if depth == 0:
                return lists, names, token.end()
        before = mark
    return lists, names, None


def _holds_objects(head: bytes, at: int) -> bool:
    return head[at : at + 4096].lstrip(_SPACE)[:1] in (b"{", b"[")


def _text(string: bytes) -> str:
    try:
        return msgspec.json.decode(string, type=str)
    except UNREADABLE:
        return ""


# --- reading --------------------------------------------------------------------------------------


def _splitter(shape: Shape, longest: int) -> ArraySplitter | SequenceSplitter:
    return ArraySplitter(longest) if shape.kind == "array" else SequenceSplitter(longest)


def _from(
    start: int, blocks: Iterable[bytes], splitter: ArraySplitter, before: bytearray
) -> Iterator[bytes]:
    """The blocks from a byte on; what is before it is added to ``before``."""
    for block in blocks:
        if start:
            skipped, block = block[:start], block[start:]
            start -= len(skipped)
            splitter.skip_lines(skipped.count(b"\n"))
            before += skipped
        if block:
            yield block


def _names_beside(shape: Shape, raw: bytes) -> list[str]:
    """The names that stand beside the list, of the object without its items. Raises UploadRejected
    where that is broken, or holds a second list of that kind."""
    fault = syntax_fault(raw)
    if fault is not None:
        raise UploadRejected(
            translatable(
                "The object around the list “%(name)s”: %(why)s", name=shape.name, why=fault.message
            )
        )
    fields = _fields(raw)
    for name, value in fields.items():
        if name in (*NAMES, *_SPLITS) and name != shape.name and _has_objects(bytes(value)):
            raise UploadRejected(
                translatable(
                    "The file holds two lists, “%(first)s” and “%(second)s”: leave one of them out.",
                    first=shape.name,
                    second=name,
                )
            )
    return [name for name in fields if name != shape.name]


def _has_objects(raw: bytes) -> bool:
    return raw[:1] == b"[" and raw[1:].lstrip(_SPACE)[:1] == b"{"


def _is_wrapped_row(raw: bytes) -> bool:
    try:
        fields = _fields(raw)
    except UNREADABLE:
        return False
    return "row" in fields and fields.keys() <= _ROW and bytes(fields["row"])[:1] == b"{"


def _rows(found: Iterator[Item]) -> Iterator[Item]:
    """The rows within the objects of the datasets server, which names the cells that it cut off."""
    for line, raw in found:
        if not isinstance(raw, bytes):
            yield line, raw
            continue
        try:
            fields = _fields(raw)
        except UNREADABLE:
            yield line, raw
            continue
        cut = fields.get("truncated_cells")
        if cut is not None and bytes(cut) not in (b"[]", b"null"):
            yield line, Bad("invalid_row", _cut_cells(bytes(cut)))
        else:
            yield line, bytes(fields["row"]) if "row" in fields else raw


def _cut_cells(raw: bytes) -> Message:
    try:
        names = ", ".join(_text(bytes(name)) for name in _items(raw))
    except UNREADABLE:
        names = ""
    return translatable(
        "the server cut off the cells of this row (%(names)s): download the data set as Parquet.",
        names=names[:100],
    )
