"""``response_format`` as the Messages API has it.

A schema goes into ``output_config.format`` where the model has structured outputs. Where it has none, or
the schema says what they cannot, the model is made to call a tool whose input is the answer; where a tool
cannot be forced (thinking, Claude 5, tools of the request's own), the system prompt asks for it. So it
does for any JSON object: a tool without properties tends to be called with an empty input.

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
_OBJECT = "Answer with nothing but one JSON object, without a code block around it."
_SCHEMA = "Answer with nothing but JSON, without a code block, that fits this JSON Schema:\n"
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
        system.append(text_block(_OBJECT))
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
    is_object = schema.get("type", "object") == "object" and schema.get("properties")
    if is_object and _can_force(body, facts):
        tool = {"name": ANSWER_TOOL, "description": _WHAT_FOR}
        body["tools"] = [{**tool, "input_schema": {"type": "object", **schema}}]
        body["tool_choice"] = {"type": "tool", "name": ANSWER_TOOL}
    else:
        system.append(text_block(_SCHEMA + _encode(schema).decode()))


def _can_force(body: dict[str, Any], facts: ModelFacts) -> bool:
    return facts.forces and not thinks(body) and "tools" not in body
