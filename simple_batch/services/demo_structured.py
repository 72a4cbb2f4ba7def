"""Answers of the demo endpoint in the shape that a request asks for: JSON that fits a schema
(platform.openai.com/docs/guides/structured-outputs, read 2026-11-29). Of a schema's keywords those are followed
that structured outputs have; an answer may not fit the others."""

import json
import math
from random import Random
from typing import Any

_DEEPEST = 8  # levels of a schema that refers to itself
_MOST_VALUES = 1_000  # of an answer
_LONGEST = 10_000  # characters that a text is made longer to
_FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "P1D",
    "email": "name@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def shaped(body: dict, text: str, chance: Random) -> str | None:
    """The answer ``text`` in the shape that the body asks for; None where it asks for none. Raises ValueError
    where no answer can be made of the schema."""
    of_response = body.get("text")
    asked = (
        of_response.get("format") if isinstance(of_response, dict) else body.get("response_format")
    )
    if not isinstance(asked, dict) or asked.get("type") not in ("json_schema", "json_object"):
        return None
    described = asked.get("json_schema")
    schema = (described if isinstance(described, dict) else asked).get("schema")
    if not isinstance(schema, dict):
        return json.dumps({"answer": text}, ensure_ascii=False)
    try:
        return json.dumps(_Example(schema, text, chance).of(schema), ensure_ascii=False)
    except (TypeError, AttributeError, ArithmeticError, LookupError, RecursionError):
        raise ValueError("Invalid schema for response_format.") from None


class _Example:
    """Makes a value that fits a schema; texts are the answer."""

    def __init__(self, root: dict, text: str, chance: Random):
        self._root, self._text, self._chance = root, text, chance
        self._left = _MOST_VALUES

    def of(self, given: Any, depth: int = 0) -> Any:
        self._left -= 1
        if self._left < 0:
            raise ValueError("The schema of response_format is too large for the demo.")
        schema = self._resolved(given, depth)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self._chance.choice(schema["enum"])
        kinds = schema.get("type")
        kind = kinds if isinstance(kinds, str) else self._kind(schema, kinds)
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, depth)
        if kind in ("integer", "number"):
            return self._number(schema, kind == "integer")
        if kind == "boolean":
            return self._chance.random() < 0.5
        return None if kind == "null" else self._string(schema)

    def _resolved(self, given: Any, depth: int) -> dict:
        """The schema with what it refers to; of alternatives the first that is not null."""
        schema = dict(given) if isinstance(given, dict) else {}
        for _ in range(_DEEPEST):
            if isinstance(schema.get("$ref"), str):
                schema = {**self._referred(schema.pop("$ref")), **schema}
            elif alternatives := schema.pop("anyOf", None) or schema.pop("oneOf", None):
                filled = [one for one in alternatives if one != {"type": "null"}]
                ends = depth >= _DEEPEST and len(filled) < len(alternatives)
                schema = {**schema, **({"type": "null"} if ends or not filled else filled[0])}
            elif parts := schema.pop("allOf", None):
                for part in parts:
                    schema = {**schema, **self._resolved(part, depth)}
            else:
                break
        return schema

    def _referred(self, reference: str) -> dict:
        found: Any = self._root
        for part in reference.removeprefix("#").split("/"):
            if part:
                name = part.replace("~1", "/").replace("~0", "~")
                found = found.get(name) if isinstance(found, dict) else None
        return found if isinstance(found, dict) else {}

    def _kind(self, schema: dict, kinds: Any) -> str:
        if isinstance(kinds, list) and kinds:
            return next((kind for kind in kinds if kind != "null"), "null")
        return "object" if "properties" in schema else "array" if "items" in schema else "string"

    def _object(self, schema: dict, depth: int) -> dict:
        properties = schema.get("properties") or {}
        needed = schema.get("required") or []
        names = [name for name in properties if depth < _DEEPEST or name in needed]
        return {
            name: self.of(properties.get(name), depth + 1)
            for name in [*names, *_more(needed, names)]
        }

    def _array(self, schema: dict, depth: int) -> list:
        least = schema.get("minItems", 0)
        count = max(least, min(schema.get("maxItems", 2), 2 if depth < _DEEPEST else 0))
        items = [self.of(schema.get("items", {}), depth + 1) for _ in range(min(count, 100))]
        return (
            list({json.dumps(it): it for it in items}.values())
            if schema.get("uniqueItems")
            else items
        )

    def _number(self, schema: dict, whole: bool) -> int | float:
        step = schema.get("multipleOf", 1 if whole else 0.1)
        low, high = schema.get("minimum"), schema.get("maximum")
        if isinstance(schema.get("exclusiveMinimum"), int | float):
            low = schema["exclusiveMinimum"] + step
        if isinstance(schema.get("exclusiveMaximum"), int | float):
            high = schema["exclusiveMaximum"] - step
        if low is None:
            low = 0 if high is None else min(0, high)
        high = low + 10 * step if high is None else high
        first, last = math.ceil(round(low / step, 9)), math.floor(round(high / step, 9))
        value = round(step * self._chance.randint(first, max(first, last)), 9)
        return int(value) if whole else value

    def _string(self, schema: dict) -> str:
        text = _FORMATS.get(schema.get("format", ""), self._text)
        text = text[: schema.get("maxLength", len(text))]
        return text.ljust(min(_LONGEST, schema.get("minLength", 0)), ".")


def _more(needed: list, names: list) -> list:
    """Properties that are required, but not described."""
    return [name for name in needed if name not in names]
