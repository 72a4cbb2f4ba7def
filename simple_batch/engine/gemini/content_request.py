"""A chat completion's body as Gemini's GenerateContentRequest. The model stands in the address of a batch.

Sources, read 2026-11-28: https://ai.google.dev/api/generate-content (GenerationConfig, Tool, ToolConfig);
https://ai.google.dev/gemini-api/docs/openai (reasoning_effort as budgets and levels, extra_body.google);
https://ai.google.dev/gemini-api/docs/batch-api (generation_config within the request of a line). Fields that
are in neither API are sent as they are: the endpoint says what it thinks of them.
"""

from typing import Any

import msgspec

from ...core.stored_messages import NO_JSON
from .contents import converted
from .untranslatable import invalid, lacks

# field: its name in the generation config
_CONFIG = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "seed": "seed",
    "n": "candidate_count",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "logprobs": "response_logprobs",
    "top_logprobs": "logprobs",
    "thinking_config": "thinking_config",
    "media_resolution": "media_resolution",
}
_LIMITS = ("max_completion_tokens", "max_tokens")
# say who asks, or how an answer is kept or sent, but not what it is
_LEFT_OUT = frozenset(
    [
        "model",
        "metadata",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
        "stream",
        "stream_options",
        "user",
    ]
)
# field: its value that asks for nothing, besides null
_NEUTRAL: dict[str, Any] = {
    "audio": None,
    "function_call": None,
    "functions": [],
    "logit_bias": {},
    "min_p": 0,
    "parallel_tool_calls": True,
    "prediction": None,
    "repetition_penalty": 1,
    "verbosity": "medium",
    "web_search_options": None,
}
_BUDGETS = {"none": 0, "minimal": 1_024, "low": 1_024, "medium": 8_192, "high": 24_576}  # tokens
_LEVELS = frozenset({"minimal", "low", "medium", "high"})
_CHOICES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode

Fields = dict[str, Any]


def content_request(chat: bytes) -> bytes:
    """The request. Raises TransportFailure for what the API does not have."""
    try:
        fields = _decode(chat)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as fault:
        raise invalid("body", NO_JSON(error=fault)) from None
    model = str(fields.get("model") or "")
    _take_out(fields)
    system, contents = converted(fields.pop("messages", None))
    request: Fields = {"contents": contents}
    if system:
        request["system_instruction"] = {"parts": system}
    config: Fields = {}
    for name in sorted(_CONFIG.keys() & fields.keys()):
        config[_CONFIG[name]] = fields.pop(name)
    _move_limits(fields, config)
    _move_format(fields, config)
    _move_effort(fields, config, model)
    _move_tools(fields, request)
    _move_own(fields, config)
    config = {name: value for name, value in config.items() if value is not None}
    if config:
        request["generation_config"] = config
    request.update((name, value) for name, value in fields.items() if value is not None)
    return _encode(request)


def _take_out(fields: Fields) -> None:
    for name in _LEFT_OUT & fields.keys():
        del fields[name]
    for name in sorted(_NEUTRAL.keys() & fields.keys()):
        value = fields.pop(name)
        if value is not None and value != _NEUTRAL[name]:
            raise lacks(name)


def _move_limits(fields: Fields, config: Fields) -> None:
    given = [fields.pop(name, None) for name in _LIMITS]
    config["max_output_tokens"] = next((limit for limit in given if limit is not None), None)
    stop = fields.pop("stop", None)
    if stop:
        config["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    modalities = fields.pop("modalities", None)
    if isinstance(modalities, list) and modalities != ["text"]:
        config["response_modalities"] = [str(one).upper() for one in modalities]


def _move_format(fields: Fields, config: Fields) -> None:
    form = fields.pop("response_format", None)
    kind = form.get("type") if isinstance(form, dict) else None
    if form is None or kind == "text":
        return
    if kind not in ("json_object", "json_schema"):
        raise lacks("response_format")
    config["response_mime_type"] = "application/json"
    given = form.get("json_schema")
    if isinstance(given, dict) and given.get("schema") is not None:
        config["response_json_schema"] = given["schema"]


def _move_effort(fields: Fields, config: Fields, model: str) -> None:
    """Gemini 2 has budgets of tokens, later ones levels."""
    effort = fields.pop("reasoning_effort", None)
    if effort is None or config.get("thinking_config") is not None:
        return
    if effort not in _BUDGETS:
        raise lacks(f"reasoning_effort “{effort}”")
    if effort in _LEVELS and "gemini-2" not in model:
        config["thinking_config"] = {"thinking_level": effort}
    else:
        config["thinking_config"] = {"thinking_budget": _BUDGETS[effort]}


def _move_tools(fields: Fields, request: Fields) -> None:
    tools, choice = fields.pop("tools", None), fields.pop("tool_choice", None)
    if isinstance(tools, list) and tools:
        functions = [made for tool in tools if (made := _function(tool)) is not None]
        own = [tool for tool in tools if _function(tool) is None]
        request["tools"] = ([{"function_declarations": functions}] if functions else []) + own
    if choice is not None:
        request["tool_config"] = {"function_calling_config": _choice(choice)}


def _function(tool: Any) -> Fields | None:
    """None for a tool of the API's own."""
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict):
        if isinstance(tool, dict) and "type" in tool:
            raise lacks(f"tools: type “{tool['type']}”")
        return None
    made: Fields = {"name": function.get("name")}
    if function.get("description"):
        made["description"] = function["description"]
    if function.get("parameters"):
        made["parameters_json_schema"] = function["parameters"]
    return made


def _choice(choice: Any) -> Fields:
    if isinstance(choice, str) and choice in _CHOICES:
        return {"mode": _CHOICES[choice]}
    function = choice.get("function") if isinstance(choice, dict) else None
    if not isinstance(function, dict):
        raise lacks("tool_choice")
    return {"mode": "ANY", "allowed_function_names": [function.get("name")]}


def _move_own(fields: Fields, config: Fields) -> None:
    """The API's own fields, as its door for clients of OpenAI takes them: ``extra_body.google``."""
    extra = fields.pop("extra_body", None)
    google: Any = fields.pop("google", None)
    if isinstance(extra, dict):
        google = extra.get("google", google)
    for name, value in (google if isinstance(google, dict) else {}).items():
        if name in ("thinking_config", "thinkingConfig"):
            config["thinking_config"] = value
        elif name in ("generation_config", "generationConfig") and isinstance(value, dict):
            config.update(value)
        else:
            fields[name] = value
    for name in ("generation_config", "generationConfig"):
        own = fields.pop(name, None)
        if isinstance(own, dict):
            config.update(own)
