"""Tools, and which of them the model has to call, as the Messages API has them.

Sources: types/tool_param.py and types/tool_choice_*_param.py of the package anthropic 2.14.0.
"""

from typing import Any

from .content_parts import Block
from .no_counterpart import field
from .plain_schema import Inexpressible, plain

_CHOICES = {"auto": "auto", "none": "none", "required": "any"}


def move_tools(fields: dict[str, Any], body: dict[str, Any]) -> None:
    """Take the fields about tools out of a chat's ``fields`` and put them into a ``body``. Raises
    NoCounterpart."""
    tools, choice = fields.pop("tools", None), fields.pop("tool_choice", None)
    parallel = fields.pop("parallel_tool_calls", None)
    if isinstance(tools, list) and tools:
        body["tools"] = [_tool(tool) for tool in tools]
    chosen = None if choice is None else _choice(choice)
    if parallel is False and "tools" in body:
        chosen = chosen or {"type": "auto"}
        if chosen["type"] != "none":
            chosen["disable_parallel_tool_use"] = True
    if chosen is not None:
        body["tool_choice"] = chosen


def _tool(tool: Any) -> Block:
    function = tool.get("function") if isinstance(tool, dict) else None
    if isinstance(tool, dict) and tool.get("type") == "custom" and "custom" in tool:
        raise field("tools: type “custom”")
    if not isinstance(function, dict):
        return tool  # type: ignore[no-any-return]  # one of the API's own
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    made: Block = {"name": function.get("name")}
    if function.get("description"):
        made["description"] = function["description"]
    made["input_schema"] = schema
    if function.get("strict"):
        try:
            made |= {"input_schema": plain(schema), "strict": True}
        except Inexpressible:
            raise field(f"tools: “strict” with the schema of “{made['name']}”") from None
    cached = tool.get("cache_control") or function.get("cache_control")
    return {**made, "cache_control": cached} if cached else made


def _choice(choice: Any) -> Block:
    if isinstance(choice, str) and choice in _CHOICES:
        return {"type": _CHOICES[choice]}
    if not isinstance(choice, dict) or choice.get("type") in ("allowed_tools", "custom"):
        raise field("tool_choice")
    function = choice.get("function")
    if isinstance(function, dict):
        return {"type": "tool", "name": function.get("name")}
    return dict(choice)  # one of the API's own
