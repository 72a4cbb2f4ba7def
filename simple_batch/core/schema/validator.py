"""The validator (jsonschema-rs), and how it is set: nothing is fetched, patterns take linear time."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypedDict

import jsonschema_rs

from ..errors import InvalidInput
from ..messages import translatable
from .graph import fault, step

MASK = "the value"
TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")


class _Options(TypedDict):
    offline: bool
    pattern_options: jsonschema_rs.RegexOptions
    validate_formats: bool
    mask: str  # in messages, in place of the value


_OPTIONS = _Options(
    offline=True,
    # no lookaround, no backreferences: what makes other engines hang
    pattern_options=jsonschema_rs.RegexOptions(size_limit=1_000_000, dfa_size_limit=4_000_000),
    validate_formats=True,
    mask=MASK,
)


def single(schema: dict[str, Any]) -> jsonschema_rs.Validator:
    """A validator for a schema. Raises InvalidInput where it is none."""
    with _blaming():
        return jsonschema_rs.validator_for(schema, **_OPTIONS)


def of_parts(document: dict[str, Any]) -> jsonschema_rs.ValidatorMap:
    """Validators for the parts of a schema that ``single`` took, by JSON pointer."""
    return jsonschema_rs.validator_map_for(document, **_OPTIONS)


def check_form(document: dict[str, Any]) -> None:
    """Whether a schema is written as its draft says. Raises InvalidInput with the place."""
    with _blaming():
        jsonschema_rs.meta.validate(document)


@contextmanager
def _blaming() -> Iterator[None]:
    try:
        yield
    except jsonschema_rs.ValidationError as error:
        path = list(error.instance_path)
        raise fault("/".join(["#", *map(step, path)]), _why(error, path)) from None
    except (jsonschema_rs.ReferencingError, ValueError, RecursionError) as error:
        raise InvalidInput(
            translatable("Schema: %(error)s.", error=str(error)[:300]), "schema"
        ) from None


def _why(error: jsonschema_rs.ValidationError, path: list[str | int]) -> str:
    if path and path[-1] == "type":
        return translatable("a type is one of %(types)s, or a list of them", types=", ".join(TYPES))
    why = error.verbose_message.split("\n", 1)[0][:200]
    if path and (path[-1] == "pattern" or "patternProperties" in path[-2:]):
        return translatable(
            "%(why)s (lookaround and backreferences are not taken: patterns must not hang)", why=why
        )
    return why
