"""Telling formats apart by content, and reading them.

A new format is one more branch of ``_opened``: something that yields (line, item).
"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from ..domain import Fault, Request
from ..errors import UploadRejected
from ..settings import Settings
from .array import ArraySplitter
from .items import Items, is_conversation, kind_of
from .source import Source

FORMATS = (
    'a JSON array of {"messages": [...]} objects, a JSON array of message arrays, JSONL of either, '
    "OpenAI batch JSONL, or gzip of these"
)
_NAMES = {
    ("json", "object"): "json",
    ("json", "messages"): "json-messages",
    ("jsonl", "object"): "jsonl",
    ("jsonl", "messages"): "jsonl-messages",
    ("jsonl", "batch"): "openai-batch",
    ("json", "batch"): "json-batch",
}


class Reader:
    """Iterate over it for ``Request | Fault``; ``format`` is known once iteration has begun.

    Raises UploadRejected or UploadTooLarge where the file cannot be read as a whole.
    """

    def __init__(self, path: Path, settings: Settings):
        self._settings = settings
        self._source = Source(path, settings)
        self._seen = _Seen()
        self.format = ""

    def close(self) -> None:
        self._source.close()
        self._seen.close()

    def __iter__(self) -> Iterator[Request | Fault]:
        container, raw_items = self._opened()
        items, index, ordinal = None, 0, 0
        for line, raw in raw_items:
            ordinal += 1
            if items is None and (kind := kind_of(raw) if raw is not None else None):
                self.format = _NAMES[container, kind]
                items = Items(kind, self._settings.MAX_NESTING)
            parser = items or Items("object", self._settings.MAX_NESTING)
            item = parser.request(raw, line, ordinal, index)
            if isinstance(item, Request):
                first = self._seen.line_of(item.custom_id, line)
                if first is None:
                    index += 1
                else:
                    name = item.custom_id[:80]
                    item = Fault(
                        line,
                        "duplicate_custom_id",
                        f'custom_id "{name}" is already used in line {first}: make it unique.',
                    )
            yield item
        if not ordinal:
            raise UploadRejected(
                "The file is empty: there is no request in it.",
                [Fault(None, "empty_file", "The file is empty.")],
                1,
            )

    def _opened(self) -> tuple[str, Iterator[tuple[int, bytes | None]]]:
        head = self._source.peek().lstrip()
        if not head:
            return "jsonl", iter(())
        if head[:1] == b"[" and not is_conversation(head.split(b"\n", 1)[0]):
            splitter = ArraySplitter(self._settings.MAX_REQUEST_BYTES)
            return "json", splitter.split(self._source.blocks())
        if head[:1] in b"[{" or self._looks_like_jsonl(head):
            lines = self._source.lines()
            return "jsonl", ((number, raw) for number, raw in lines if raw is None or raw.strip())
        shown = head[:40].decode("utf-8", "replace").splitlines()[0]
        raise UploadRejected(
            f"Line 1: the file begins with {shown!r}, which is not JSON. Read are {FORMATS}.",
            [Fault(1, "invalid_json_line", "not JSON")],
            1,
        )

    @staticmethod
    def _looks_like_jsonl(head: bytes) -> bool:
        """A broken first line before good ones is that line's fault, not the file's."""
        following = head.split(b"\n")[1:4]
        return any(line.strip()[:1] in (b"{", b"[") for line in following)


def read(path: Path, settings: Settings) -> Reader:
    """A reader of the upload at ``path``; close it when done."""
    return Reader(path, settings)


class _Seen:
    """Which custom_id was used in which line, kept in a private temporary database that SQLite
    spills to disk: flat memory for millions of them."""

    def __init__(self):
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -8000;"
            "CREATE TABLE seen (custom_id TEXT PRIMARY KEY, line INTEGER) WITHOUT ROWID; BEGIN;"
        )

    def line_of(self, custom_id: str, line: int) -> int | None:
        """The line that used this id before; None, and noted now, where none did."""
        added = self._database.execute(
            "INSERT OR IGNORE INTO seen VALUES (?, ?)", (custom_id, line)
        ).rowcount
        if added:
            return None
        row = self._database.execute("SELECT line FROM seen WHERE custom_id = ?", (custom_id,))
        return row.fetchone()[0]

    def close(self) -> None:
        self._database.close()
