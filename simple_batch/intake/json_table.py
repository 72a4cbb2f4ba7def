"""Plain objects as a table: `{"question": "…", "id": 7}` in JSONL, or in a JSON array.

The keys of the first objects are the columns. A key that an object lacks, like null, is an empty
cell; a key that no column has is that object's fault.
"""

import re
from collections.abc import Iterable, Iterator

import msgspec

from ..core.domain import Fault
from ..core.errors import UploadRejected
from ..core.messages import translatable
from ..core.settings import Settings
from .json_array import ArraySplitter
from .request_checks import TOO_LONG, UNREADABLE, Bad, check_text, check_width, not_json
from .table import Row, no_header

FIRST = 100  # objects that say which columns there are
_REQUEST = frozenset({"messages", "body"})
_SHAPES = ({"custom_id", "method", "url"}, {"role", "content"})  # a batch line, a message
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_string = msgspec.json.Decoder(str).decode
_number = msgspec.json.Decoder(int | float).decode


class JsonTable:
    """Iterate over it for ``Row | Fault``. ``items`` are (line, bytes or None where it is too long)."""

    encoding = "utf-8"
    sheet = ""
    sheets: list[str] = []

    def __init__(
        self,
        container: str,
        head: bytes,
        items: Iterable[tuple[int, bytes | None]],
        settings: Settings,
    ):
        self.format = container
        self._items = items
        self.columns = _columns(first_items(head, settings))
        complaint = no_header(self.columns)
        if complaint is not None:
            raise UploadRejected(
                translatable("The keys of the objects: %(complaint)s", complaint=complaint)
            )
        self._places = {name: place for place, name in enumerate(self.columns)}

    @property
    def header(self) -> list[str]:
        """See ``TableReader``."""
        return self.columns

    def __iter__(self) -> Iterator[Row | Fault]:
        for line, raw in self._items:
            try:
                if raw is None:
                    raise Bad("invalid_request", TOO_LONG)
                check_text(raw)
                yield self._row(line, raw)
            except Bad as bad:
                yield Fault(line, bad.code, bad.message)

    def _row(self, line: int, raw: bytes) -> Row:
        try:
            check_width(raw)
            fields = _fields(raw)
        except msgspec.ValidationError:
            raise Bad(
                "invalid_request",
                translatable("must be an object like the others, {column: value}."),
            ) from None
        except UNREADABLE:
            raise not_json(raw) from None
        if _REQUEST & fields.keys() and not _REQUEST & self._places.keys():
            raise Bad("invalid_request", translatable("a request among plain objects: do not mix."))
        cells = [""] * len(self.columns)
        kept: list[object] = [None] * len(self.columns)
        for name, value in fields.items():
            place = self._places.get(name.strip())
            if place is None:
                raise Bad(
                    "invalid_row",
                    translatable(
                        "“%(name)s” is no column: none of the first %(first)s objects has it.",
                        name=name[:80],
                        first=FIRST,
                    ),
                )
            cells[place], kept[place] = _cell(name, bytes(value))
        return Row(line, cells, kept)


def are_plain(head: bytes, settings: Settings) -> bool:
    """Whether JSON that begins so holds plain objects: none of the first is a request, and one at
    least has a value that a cell can hold."""
    flat = False
    for raw in first_items(head, settings):
        try:
            fields = _fields(raw)
        except UNREADABLE:
            continue
        keys = fields.keys()
        if _REQUEST & keys or any(shape <= keys for shape in _SHAPES):
            return False
        flat = flat or any(bytes(value)[:1] not in b"[{" for value in fields.values())
    return flat


def first_items(head: bytes, settings: Settings) -> list[bytes]:
    """The first items of JSONL, or of a JSON array, as far as they are whole."""
    if head.lstrip()[:1] != b"[":
        lines = head.split(b"\n")
        whole = lines if len(lines) == 1 else lines[:-1] + ([lines[-1]] if lines[-1] else [])
        return [line for line in whole if line.strip()][:FIRST]
    found: list[bytes] = []
    try:
        for _, raw in ArraySplitter(settings.MAX_REQUEST_BYTES).split([head]):
            found.append(raw or b"")
            if len(found) == FIRST:
                break
    except UploadRejected:  # only the beginning was looked at
        pass
    return found


def _columns(items: list[bytes]) -> list[str]:
    names: dict[str, None] = {}
    for raw in items:
        try:
            names.update(dict.fromkeys(name.strip() for name in _fields(raw)))
        except UNREADABLE:
            continue
    return list(names)


def _cell(name: str, raw: bytes) -> tuple[str, object]:
    """(text, what comes back in an export). Raises Bad for a value that no cell holds."""
    first = raw[:1]
    if first == b'"':
        try:
            text = _string(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Bad(
                "invalid_json_line",
                translatable("“%(name)s”: %(error)s.", name=name[:80], error=error),
            ) from None
        if re.search(r"[\0\ud800-\udfff]", text):
            raise Bad(
                "invalid_row",
                translatable("“%(name)s” holds a NUL character: remove it.", name=name[:80]),
            )
        return text, text
    if first in b"[{":
        kind = translatable("a list") if first == b"[" else translatable("an object")
        raise Bad(
            "invalid_row",
            translatable(
                "“%(name)s” holds %(kind)s: a cell holds one value. Leave it out, or write it "
                "as text.",
                name=name[:80],
                kind=kind,
            ),
        )
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
