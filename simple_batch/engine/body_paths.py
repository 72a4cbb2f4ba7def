"""Fields of a JSON body by their paths (``reasoning.effort``), with values that stay the bytes they were."""

from typing import Any

import msgspec

Fields = dict[str, msgspec.Raw]
decode = msgspec.json.Decoder(Fields).decode
encode = msgspec.json.Encoder().encode


def holds(body: Fields, path: str) -> bool:
    """Whether a body has a field by this path."""
    name, _, rest = path.partition(".")
    if name not in body:
        return False
    inner = _object(body[name]) if rest else None
    return not rest or (inner is not None and holds(inner, rest))


def value_at(body: Fields, path: str) -> Any:
    """The decoded value by a path that the body has."""
    name, _, rest = path.partition(".")
    inner = _object(body[name]) if rest else None
    return value_at(inner, rest) if inner is not None else msgspec.json.decode(body[name])


def without(body: Fields, path: str) -> None:
    """Remove a field, and the object that it leaves empty."""
    name, _, rest = path.partition(".")
    if not rest:
        body.pop(name, None)
        return
    inner = _object(body[name]) if name in body else None
    if inner is None or not holds(inner, rest):
        return
    without(inner, rest)
    if inner:
        body[name] = msgspec.Raw(encode(inner))
    else:
        del body[name]


def put(body: Fields, path: str, value: Any) -> None:
    """Set a field, and the objects on the way to it."""
    name, _, rest = path.partition(".")
    if rest:
        inner = (_object(body[name]) if name in body else None) or {}
        put(inner, rest, value)
        value = inner
    body[name] = msgspec.Raw(encode(value))


def _object(raw: msgspec.Raw) -> Fields | None:
    try:
        return decode(raw)
    except msgspec.ValidationError:
        return None
