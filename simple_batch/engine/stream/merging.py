"""Pieces of a message → the message."""

import io
from typing import Any

_TEXTS = frozenset(
    {"content", "refusal", "reasoning_content", "reasoning", "reasoning_text", "thinking", "text"}
    | {"thought", "summary", "transcript", "arguments"}
)
_PARTS_OF_TEXT = ("text", "thinking", "summary", "data")  # of a part of a list that grows


class Texts:
    """A text that comes in pieces, or (Mistral) as parts of a list with texts in between."""

    __slots__ = ("_parts", "_text")

    def __init__(self) -> None:
        self._text = io.StringIO()
        self._parts: list[Any] | None = None

    def add(self, piece: Any) -> None:
        if isinstance(piece, str):
            self._text.write(piece)
        elif isinstance(piece, list):
            merge_list(self._list(), piece)

    def value(self) -> Any:
        """The text or the list."""
        return self._text.getvalue() if self._parts is None else self._list()

    def _list(self) -> list[Any]:
        """The parts so far, with the text behind them as the last one."""
        if self._parts is None:
            self._parts = []
        text = self._text.getvalue()
        if text:
            self._text = io.StringIO()
            merge_list(self._parts, [{"type": "text", "text": text}])
        return self._parts


def merge(into: dict[str, Any], piece: dict[str, Any]) -> None:
    """Add the fields of a piece of an object: texts that grow are joined, lists are continued, of all
    else the last one that is not null counts."""
    for name, value in piece.items():
        given = into.get(name)
        if value is None:
            into.setdefault(name, None)
        elif given is None:
            into[name] = value
        elif isinstance(value, str) and isinstance(given, str):
            into[name] = given + value if name in _TEXTS else value or given
        elif isinstance(value, list) and isinstance(given, list):
            merge_list(given, value)
        elif isinstance(value, dict) and isinstance(given, dict):
            merge(given, value)
        else:
            into[name] = value


def merge_list(into: list[Any], pieces: list[Any]) -> None:
    """Continue a list. A piece with the ``index`` of an entry, and one of the kind of the last entry whose
    text goes on, are added to it (reasoning_details, thinking blocks)."""
    for piece in pieces:
        entry = _continued(into, piece) if isinstance(piece, dict) else None
        if entry is None:
            into.append(dict(piece) if isinstance(piece, dict) else piece)
        else:
            merge(entry, piece)


def _continued(into: list[Any], piece: dict[str, Any]) -> dict[str, Any] | None:
    last = into[-1] if into and isinstance(into[-1], dict) else None
    if "index" in piece:
        same = (
            entry
            for entry in reversed(into)
            if isinstance(entry, dict)
            and entry.get("index") == piece["index"]
            and entry.get("type") == piece.get("type")
        )
        return next(same, None)
    if last is None or piece.get("type") is None or last.get("type") != piece["type"]:
        return None
    grows = any(isinstance(piece.get(name), str | list) for name in _PARTS_OF_TEXT)
    other = last.get("id") != piece.get("id") and piece.get("id") is not None
    return last if grows and not other else None
