"""Pieces of tool calls → tool calls.

A piece belongs to the call of its ``index``. Some endpoints leave the index out, or give each call the
index 0 (Gemini's compatible API: an id and a name in a piece begin another call), send an empty id with
each piece after the first, or repeat the name in each.
"""

from typing import Any

import msgspec

_encode = msgspec.json.Encoder().encode


class ToolCalls:
    """The calls of one message, in the order in which they began."""

    __slots__ = ("_arguments", "_calls", "_places", "kept")

    def __init__(self) -> None:
        self._calls: list[dict[str, Any]] = []
        self._arguments: list[list[str]] = []
        self._places: dict[Any, int] = {}  # by index
        self.kept = 0

    def add(self, pieces: Any) -> None:
        for piece in pieces if isinstance(pieces, list) else [pieces]:
            if isinstance(piece, dict):
                self._add(piece)
                self.kept += len(_encode(piece))

    def value(self) -> list[dict[str, Any]]:
        for call, arguments in zip(self._calls, self._arguments, strict=True):
            if "function" in call:
                call["function"]["arguments"] = "".join(arguments)
        return self._calls

    def _add(self, piece: dict[str, Any]) -> None:
        place = self._place_of(piece)
        call, arguments = self._calls[place], self._arguments[place]
        for name, value in piece.items():
            if name == "function" and isinstance(value, dict):
                function = call.setdefault("function", {})
                add_function(function, value, arguments)
            elif name not in ("index", "function") and value not in (None, ""):
                call[name] = value

    def _place_of(self, piece: dict[str, Any]) -> int:
        index, place = piece.get("index"), None
        if index is not None:
            place = self._places.get(index)
        elif self._calls:
            place = len(self._calls) - 1
        if place is None or self._begins_another(self._calls[place], piece):
            place = len(self._calls)
            self._calls.append({"id": "", "type": "function"})
            self._arguments.append([])
            self._places[index] = place
        return place

    def _begins_another(self, call: dict[str, Any], piece: dict[str, Any]) -> bool:
        function = piece.get("function")
        named = isinstance(function, dict) and function.get("name")
        known, given = call.get("id"), piece.get("id")
        if given:
            return bool(known and known != given and named)
        # whole calls without ids and indices
        return bool(piece.get("index") is None and named and "function" in call and not known)


def add_function(into: dict[str, Any], piece: dict[str, Any], arguments: list[str]) -> None:
    """Add a piece of a function's name and arguments."""
    name, given = piece.get("name"), piece.get("arguments")
    known = into.get("name") or ""
    if isinstance(name, str) and name != known:
        into["name"] = known + name
    if isinstance(given, str):
        arguments.append(given)
    elif given is not None:
        arguments.append(_encode(given).decode())
    for field, value in piece.items():
        if field not in ("name", "arguments") and value is not None:
            into[field] = value
