"""Which parameters of a config an endpoint has, and by which names.

The names are those of OpenAI's API reference (https://platform.openai.com/docs/api-reference), as its
client of 2026-11 declares them (``openai`` 3.54: CompletionCreateParams of chat and completions,
ResponseCreateParams, EmbeddingCreateParams, ModerationCreateParams, ImageGenerateParams). A parameter
that none of the generating endpoints declares belongs to another provider: it goes to all of these.
"""

from collections.abc import Mapping
from typing import Any

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
RESPONSES, EMBEDDINGS = "/v1/responses", "/v1/embeddings"
IMAGES, MODERATIONS = "/v1/images/generations", "/v1/moderations"
MESSAGES = "/v1/messages"

_CHAT = frozenset(
    [
        "audio",
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "metadata",
        "modalities",
        "moderation",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "service_tier",
        "stop",
        "store",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
        "web_search_options",
    ]
)
_COMPLETIONS = frozenset(
    [
        "best_of",
        "echo",
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "max_tokens",
        "n",
        "presence_penalty",
        "seed",
        "stop",
        "suffix",
        "temperature",
        "top_p",
        "user",
    ]
) | {"response_format"}  # vLLM has it there too (vllm/entrypoints/openai/protocol.py)
_RESPONSES = frozenset(
    [
        "access_programs",
        "background",
        "background_options",
        "context_management",
        "conversation",
        "include",
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "metadata",
        "moderation",
        "parallel_tool_calls",
        "previous_response_id",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning",
        "safety_identifier",
        "service_tier",
        "store",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "truncation",
        "user",
    ]
)
# Further ones of other providers: input_type, truncate (NVIDIA, docs.api.nvidia.com), output_dimension,
# output_dtype (Mistral, docs.mistral.ai/api), truncate_prompt_tokens (vLLM), task, late_chunking,
# normalized (jina.ai/embeddings)
_EMBEDDINGS = frozenset(
    [
        "dimensions",
        "encoding_format",
        "user",
        "input_type",
        "truncate",
        "output_dimension",
        "output_dtype",
        "truncate_prompt_tokens",
        "task",
        "late_chunking",
        "normalized",
    ]
)
# response_format and n of a config are those of chats
_IMAGES = frozenset(
    [
        "background",
        "moderation",
        "output_compression",
        "output_format",
        "quality",
        "safety_identifier",
        "size",
        "style",
        "user",
    ]
)
# what Anthropic's API has by the same name (package anthropic 2.14.0, types/message_create_params.py)
_MESSAGES = frozenset({"max_tokens", "temperature", "top_p", "top_k", "thinking", "output_config"})
_GENERATING = _CHAT | _COMPLETIONS | _RESPONSES
# of the endpoints that generate no text; a parameter named here alone is not one of theirs
_OTHERS = (_EMBEDDINGS | _IMAGES) - _GENERATING - {"task", "truncate"}


def _has(url: str, name: str) -> bool:
    """Whether the endpoint has a parameter by this name. What a config holds was written for chats, so
    those get all of it."""
    if url == CHAT:
        return True
    known = {COMPLETIONS: _COMPLETIONS, RESPONSES: _RESPONSES}.get(url)
    if known is not None:
        return name in known or (name not in _GENERATING and name not in _OTHERS)
    others = {EMBEDDINGS: _EMBEDDINGS, IMAGES: _IMAGES, MESSAGES: _MESSAGES}
    return name in others.get(url, frozenset())


# (endpoint, parameter) → path there
_PLACES = {
    (RESPONSES, "max_tokens"): "max_output_tokens",
    (RESPONSES, "max_completion_tokens"): "max_output_tokens",
    (RESPONSES, "reasoning_effort"): "reasoning.effort",
    (RESPONSES, "response_format"): "text.format",
    (RESPONSES, "verbosity"): "text.verbosity",
    (COMPLETIONS, "max_completion_tokens"): "max_tokens",
    (MESSAGES, "max_completion_tokens"): "max_tokens",
    (COMPLETIONS, "max_output_tokens"): "max_tokens",
}
# (endpoint, rejected parameter) → path to try instead. Servers that know only one name of the limit,
# or only one form of the effort (OpenRouter: openrouter.ai/docs/use-cases/reasoning-tokens).
_INSTEAD = {
    **_PLACES,
    (CHAT, "max_tokens"): "max_completion_tokens",
    (CHAT, "max_completion_tokens"): "max_tokens",
    (CHAT, "max_output_tokens"): "max_completion_tokens",
    (CHAT, "reasoning.effort"): "reasoning_effort",
    (CHAT, "text.format"): "response_format",
    (CHAT, "text.verbosity"): "verbosity",
}
MERGED = ("text", "reasoning")  # objects whose parts come from the line, the job and the config


def fields_at(url: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a config's parameters that an endpoint has, as it has them."""
    fields: dict[str, Any] = {}
    for name, value in params.items():
        place = _PLACES.get((url, name))
        if place is not None:
            _put(fields, place, moved(name, place, value))
        elif _has(url, name):
            _put(fields, name, value)
    return fields


def instead_of(url: str, path: str) -> str | None:
    """The path under which the value of a rejected parameter may be accepted."""
    return _INSTEAD.get((url, path))


def moved(path: str, to: str, value: Any) -> Any:
    """A value as it has to be at its new place: a schema stands one level deeper in chats."""
    if not isinstance(value, dict):
        return value
    if (path, to) == ("response_format", "text.format"):
        schema = value.get("json_schema")
        return {**schema, "type": value.get("type")} if isinstance(schema, dict) else value
    if (path, to) == ("text.format", "response_format") and value.get("type") == "json_schema":
        schema = {name: part for name, part in value.items() if name != "type"}
        return {"type": "json_schema", "json_schema": schema}
    return value


def _put(fields: dict[str, Any], path: str, value: Any) -> None:
    """Set a value by its path. What is set stays; objects of MERGED get what they lack."""
    name, _, rest = path.partition(".")
    given = {rest: value} if rest else value
    present = fields.get(name)
    if name in MERGED and isinstance(present, dict) and isinstance(given, dict):
        fields[name] = {**given, **present}
    else:
        fields.setdefault(name, given)
