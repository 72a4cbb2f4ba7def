"""Plain objects as a table: `{"question": "…", "id": 7}` in JSONL, or in a JSON array.

The keys of the first objects are the columns. A key that an object lacks, like null and NaN, is an empty
cell; a list or an object is a cell that holds its JSON; a key that no column has is that object's fault.
"""

import re
from collections.abc import Iterable, Iterator

import msgspec

from ..core.domain import Fault
from ..core.errors import UploadRejected
from ..core.json_faults import kind_of_value
from ..core.messages import Message, translatable
from ..core.settings import Settings
from ..core.stored_messages import LEFT_OUT_UNNAMED, NAN_IS_EMPTY
from .json_numbers import without_nan
from .json_shape import Item
from .request_checks import TOO_LONG, UNREADABLE, Bad, check_text, check_width, not_json
from .request_lines import EXCERPTS, fault_with_excerpt, is_conversation, kind_of
from .table import Row, no_header
from .table_columns import Columns, nested_note

FIRST = 100  # objects that say which columns there are
_REQUEST = frozenset({"messages", "body"})
_SHAPES = ({"custom_id", "method", "url"}, {"role", "content"})  # a batch line, a message
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_string = msgspec.json.Decoder(str).decode
_number = msgspec.json.Decoder(int | float).decode


class JsonTable:
    """Iterate over it for ``Row | Fault``. ``items`` are (line, bytes, a fault's cause, or None where it is
    too long); ``first`` are those that say which columns there are; ``notes`` are added to what the reader
    of the items notes."""

    encoding = "utf-8"
    sheet = ""
    sheets: list[str] = []

    def __init__(
        self,
        container: str,
        first: list[bytes],
        items: Iterable[Item],
        settings: Settings,
        notes: list[Message] | None = None,
    ):
        self.format = container
        self._items = items
        self.notes = notes if notes is not None else []
        names, self.nested, self.conversations = _columns(first)
        left = {place: LEFT_OUT_UNNAMED(number=place + 1) for place, n in enumerate(names) if not n}
        found = Columns(names, [], no_header, left_out=left)
        if found.complaint is not None:
            raise UploadRejected(
                translatable("The keys of the objects: %(complaint)s", complaint=found.complaint)
            )
        self.notes += found.notes
        self.columns = found.names
        self._nested = frozenset(self.nested)
        if self.nested:
            self.notes.append(nested_note(self.nested))
        self._left_out = set(names) - set(self.columns)
        self._places = {name: place for place, name in enumerate(self.columns)}
        self._excerpts = self._not_numbers = 0

    @property
    def header(self) -> list[str]:
        """See ``TableReader``."""
        return self.columns

    def __iter__(self) -> Iterator[Row | Fault]:
        for line, raw in self._items:
            try:
                if raw is None:
                    raise Bad("invalid_request", TOO_LONG)
                if isinstance(raw, Bad):
                    raise raw
                check_text(raw)
                yield self._row(line, raw)
            except Bad as bad:
                yield self._fault(bad, line, raw)
        if self._not_numbers:
            self.notes.append(NAN_IS_EMPTY(count=self._not_numbers))

    def _fault(self, bad: Bad, line: int, raw: bytes | Bad | None) -> Fault:
        if not isinstance(raw, bytes) or self._excerpts >= EXCERPTS:
            return Fault(line, bad.code, bad.message)
        self._excerpts += 1
        return fault_with_excerpt(bad, line, raw)

    def _row(self, line: int, raw: bytes) -> Row:
        fields = self._fields_of(raw)
        if _REQUEST & fields.keys() and not _REQUEST & self._places.keys():
            raise Bad("invalid_request", translatable("a request among plain objects: do not mix."))
        cells = [""] * len(self.columns)
        kept: list[object] = [None] * len(self.columns)
        for name, value in fields.items():
            place = self._places.get(name.strip())
            if place is None:
                if name.strip() in self._left_out:
                    continue
                raise Bad(
                    "invalid_row",
                    translatable(
                        "“%(name)s” is no column: none of the first %(first)s objects has it.",
                        name=name[:80],
                        first=FIRST,
                    ),
                    path=(name,),
                )
            cells[place], kept[place] = _cell(name, bytes(value), name.strip() in self._nested)
        return Row(line, cells, kept)

    def _fields_of(self, raw: bytes) -> dict[str, msgspec.Raw]:
        try:
            check_width(raw)
            return _fields(raw)
        except msgspec.ValidationError:
            raise Bad(
                "invalid_request",
                translatable(
                    "must be an object like the others, {column: value}; here it is %(here)s.",
                    here=kind_of_value(raw),
                ),
                path=(),
            ) from None
        except UNREADABLE:
            changed, count = without_nan(raw)
            if not count:
                raise not_json(raw) from None
        try:
            found = _fields(changed)
        except UNREADABLE:
            raise not_json(raw) from None
        self._not_numbers += count
        return found


def are_plain(first: list[bytes], with_messages: bool = False) -> bool:
    """Whether the first items of JSON are plain objects: none is a request, and one at least has a value
    that is no list or object. ``with_messages``: objects of messages are rows too."""
    flat = False
    for raw in first:
        fields = _of_row(raw)
        if fields is None:
            continue
        keys = fields.keys()
        if kind_of(raw) == "batch" or any(shape <= keys for shape in _SHAPES):
            return False
        if "messages" in keys and not with_messages:
            return False
        flat = flat or any(bytes(value)[:1] not in b"[{" for value in fields.values())
    return flat


def _of_row(raw: bytes) -> dict[str, msgspec.Raw] | None:
    try:
        return _fields(without_nan(raw)[0])
    except UNREADABLE:
        return None


def _columns(first: list[bytes]) -> tuple[list[str], list[str], list[str]]:
    """The names of all columns, of those that hold lists or objects, and of those that hold
    conversations."""
    names: dict[str, None] = {}
    nested: dict[str, bool] = {}
    for raw in first:
        for name, value in (_of_row(raw) or {}).items():
            names[name.strip()] = None
            if bytes(value)[:1] in (b"[", b"{"):
                talks = is_conversation(bytes(value))
                nested[name.strip()] = nested.get(name.strip(), True) and talks
    return list(names), list(nested), [name for name, talks in nested.items() if talks]


def _cell(name: str, raw: bytes, is_nested: bool) -> tuple[str, object]:
    """(text, what comes back in an export); ``is_nested``: its column holds lists or objects. Raises Bad
    for a value that no cell holds."""
    first = raw[:1]
    if first == b'"':
        try:
            text = _string(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise not_json(raw, (name,)) from None
        if re.search(r"[\0\ud800-\udfff]", text):
            raise Bad(
                "invalid_row",
                translatable("“%(name)s” holds a NUL character: remove it.", name=name[:80]),
                path=(name,),
            )
        return text, text
    if first in b"[{":
        if not is_nested:
            raise _unexpectedly_nested(name, raw)
        return raw.decode(), {"json": msgspec.Raw(raw)}
    if raw == b"null":
        return "", None
    text = raw.decode()
    if raw in (b"true", b"false"):
        return text, raw == b"true"
    try:
        value = _number(raw)
    except msgspec.ValidationError:  # out of range
        return text, text
    exact = repr(value) == text and (isinstance(value, float) or -(2**63) <= value < 2**63)
    return text, value if exact else text  # digits are kept as they stand


def _unexpectedly_nested(name: str, raw: bytes) -> Bad:
    return Bad(
        "invalid_row",
        translatable(
            "“%(name)s” holds %(kind)s, and in the first %(first)s objects it holds one value: write it "
            "as text, or leave it out.",
            name=name[:80],
            kind=kind_of_value(raw),
            first=FIRST,
        ),
        path=(name,),
    )
