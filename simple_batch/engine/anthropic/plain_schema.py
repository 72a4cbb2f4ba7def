"""A JSON Schema as Claude's structured outputs accept it: objects are closed, and what is not supported
goes into the description, where the model may follow it. Our own check takes the whole schema.

Sources: lib/_parse/_transform.py of the package anthropic 2.14.0, which does the same for its users, and
https://platform.claude.com/docs/en/build-with-claude/structured-outputs (read 2026-11-28):
``additionalProperties`` other than false, minimum, maxLength, multipleOf, minItems above 1 and the like are
errors; a type may be a list.
"""

from typing import Any

import msgspec

_FORMATS = frozenset(
    ["date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"]
)
_KEPT = ("title", "$ref", "const", "enum", "default")
_LISTS = {"anyOf": "anyOf", "oneOf": "anyOf", "allOf": "allOf"}
_NOTES = frozenset({"$schema", "$id", "$comment", "examples"})
_MAX_LEVELS = 100
_encode = msgspec.json.Encoder().encode


class Inexpressible(Exception):
    """The schema describes what structured outputs cannot: an object with any names of properties."""


def plain(schema: Any, level: int = 0) -> dict[str, Any]:
    """The schema with no more than is supported. Raises Inexpressible."""
    if not isinstance(schema, dict) or level > _MAX_LEVELS:
        raise Inexpressible
    rest = {name: value for name, value in schema.items() if name not in _NOTES}
    made: dict[str, Any] = {name: rest.pop(name) for name in _KEPT if name in rest}
    for name in ("$defs", "definitions"):
        if name in rest:
            made[name] = _each(rest.pop(name), level)
    for name, new in _LISTS.items():
        if isinstance(rest.get(name), list):
            made[new] = [plain(one, level + 1) for one in rest.pop(name)]
    kinds = _move_type(rest, made)
    if "object" in kinds:
        _move_object(rest, made, level)
    if "array" in kinds:
        _move_array(rest, made, level)
    if rest.get("format") in _FORMATS:
        made["format"] = rest.pop("format")
    description = rest.pop("description", None)
    described = [description] if isinstance(description, str) and description else []
    if rest:
        described.append(_encode(rest).decode())
    if described:
        made["description"] = "\n\n".join(described)
    return made


def _move_type(rest: dict[str, Any], made: dict[str, Any]) -> list[Any]:
    kind = rest.pop("type", None)
    if kind is None:
        if not made.keys() & {"$ref", "const", "enum", "anyOf", "allOf"}:
            raise Inexpressible
        return []
    made["type"] = kind
    return kind if isinstance(kind, list) else [kind]


def _move_object(rest: dict[str, Any], made: dict[str, Any], level: int) -> None:
    given, more = rest.pop("properties", {}), rest.pop("additionalProperties", None)
    combined = "anyOf" in made or "allOf" in made
    is_open = more not in (None, False) or "patternProperties" in rest
    if is_open or (more is None and not given and not combined):
        raise Inexpressible
    made["properties"] = _each(given, level)
    made["additionalProperties"] = False
    if "required" in rest:
        made["required"] = rest.pop("required")


def _move_array(rest: dict[str, Any], made: dict[str, Any], level: int) -> None:
    if "items" in rest:
        made["items"] = plain(rest.pop("items"), level + 1)
    if rest.get("minItems") in (0, 1):
        made["minItems"] = rest.pop("minItems")


def _each(schemas: Any, level: int) -> dict[str, Any]:
    if not isinstance(schemas, dict):
        raise Inexpressible
    return {name: plain(one, level + 1) for name, one in schemas.items()}
