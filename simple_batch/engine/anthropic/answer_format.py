"""``response_format`` as the Messages API has it.

A schema goes into ``output_config.format`` where the model has structured outputs. Where it has none, or
the schema says what they cannot, the model is made to call a tool whose input is the answer; where a tool
cannot be forced (thinking, Claude 5, tools of the request's own), the system prompt asks for it.

Sources: https://platform.claude.com/docs/en/build-with-claude/structured-outputs (``output_format`` has
moved to ``output_config.format``, no beta header; read 2026-11-28); types/output_config_param.py of the
package anthropic 2.14.0.
"""

from typing import Any

import msgspec

from .content_parts import Block, text_block
from .model_facts import ModelFacts
from .no_counterpart import field
from .plain_schema import Inexpressible, plain
from .thinking import thinks

ANSWER_TOOL = "simple_batch_answer"  # its input is the answer
_WHAT_FOR = "Gives the answer. Call it once, with the whole answer."
_OBJECT = "Answer with nothing but one JSON object."
_SCHEMA = "Answer with nothing but JSON that fits this JSON Schema:\n"
_encode = msgspec.json.Encoder().encode


def move_format(
    fields: dict[str, Any], body: dict[str, Any], system: list[Block], facts: ModelFacts
) -> None:
    """Take ``response_format`` out of a chat's ``fields`` and put what it means into a ``body``, or into
    the texts of its ``system`` prompt. Raises NoCounterpart."""
    form = fields.pop("response_format", None)
    kind = form.get("type") if isinstance(form, dict) else None
    if form is None or kind == "text":
        return
    if kind == "json_object":
        _ask(None, body, system, facts)
    elif kind == "json_schema" and isinstance(form.get("json_schema"), dict):
        _ask_schema(form["json_schema"], body, system, facts)
    else:
        raise field("response_format")


def _ask_schema(
    given: dict[str, Any], body: dict[str, Any], system: list[Block], facts: ModelFacts
) -> None:
    schema = given.get("schema") or {"type": "object"}
    if facts.formats:
        try:
            form = {"type": "json_schema", "schema": plain(schema)}
            body["output_config"] = {**body.get("output_config", {}), "format": form}
            return
        except Inexpressible:
            pass
    _ask(schema, body, system, facts)


def _ask(
    schema: dict[str, Any] | None, body: dict[str, Any], system: list[Block], facts: ModelFacts
) -> None:
    if _can_force(body, facts) and (schema is None or schema.get("type") == "object"):
        body["tools"] = [
            {
                "name": ANSWER_TOOL,
                "description": _WHAT_FOR,
                "input_schema": schema or {"type": "object"},
            }
        ]
        body["tool_choice"] = {"type": "tool", "name": ANSWER_TOOL}
    else:
        told = _OBJECT if schema is None else _SCHEMA + _encode(schema).decode()
        system.append(text_block(told))


def _can_force(body: dict[str, Any], facts: ModelFacts) -> bool:
    return facts.forces and not thinks(body) and "tools" not in body
