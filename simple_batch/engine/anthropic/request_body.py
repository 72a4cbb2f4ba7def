"""A chat completion's body as that of POST /v1/messages.

Sources: types/message_create_params.py of the package anthropic 2.14.0;
https://platform.claude.com/docs/en/api/messages/create (read 2026-11-28). Fields that are in neither API
are sent as they are: the endpoint says what it thinks of them.
"""

from typing import Any

import msgspec

from . import no_counterpart
from .answer_format import move_format
from .conversation import converted
from .model_facts import ModelFacts, facts_of
from .no_counterpart import field
from .thinking import move_effort
from .tool_choice import move_tools

_TIERS = {
    "auto": "auto",
    "priority": "auto",  # priority capacity if there is some
    "default": "standard_only",
    "standard": "standard_only",
    "standard_only": "standard_only",
}
_LIMITS = ("max_completion_tokens", "max_tokens")
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


def message_body(chat: bytes) -> bytes:
    """The body for the Messages API. Raises NoCounterpart for what it does not have."""
    fields = _decode(chat)
    no_counterpart.take_out(fields)
    model = fields.pop("model", None)
    facts = facts_of(model) if isinstance(model, str) else ModelFacts()
    body: dict[str, Any] = {"model": model, "max_tokens": _limit(fields, facts)}
    system, messages = converted(fields.pop("messages", None), fields.pop("system", None))
    if isinstance(fields.get("output_config"), dict):
        body["output_config"] = fields.pop("output_config")
    move_tools(fields, body)
    move_effort(fields, body, facts)
    move_format(fields, body, system, facts)
    _move_user(fields, body)
    _move_tier(fields, body)
    _move_stop(fields, body)
    if system:
        alone = len(system) == 1 and system[0].keys() == {"type", "text"}
        body["system"] = system[0]["text"] if alone else system
    body["messages"] = messages
    body.update((name, value) for name, value in fields.items() if value is not None)
    return _encode(body)


def _limit(fields: dict[str, Any], facts: ModelFacts) -> Any:
    """The limit of the answer's tokens: the request's or the config's, else the model's."""
    given = [fields.pop(name, None) for name in _LIMITS]
    return next((limit for limit in given if limit is not None), facts.max_tokens)


def _move_user(fields: dict[str, Any], body: dict[str, Any]) -> None:
    """The end user of a request; of OpenAI's ``metadata`` there is nothing else."""
    metadata = fields.pop("metadata", None) or {}
    users = [fields.pop(name, None) for name in ("safety_identifier", "user")]
    if not isinstance(metadata, dict):
        raise field("metadata")
    for name in metadata:
        if name != no_counterpart.METADATA:
            raise field(f"metadata.{name}")
    user = metadata.get(no_counterpart.METADATA) or next(filter(None, users), None)
    if user:
        body["metadata"] = {"user_id": user}


def _move_tier(fields: dict[str, Any], body: dict[str, Any]) -> None:
    tier = fields.pop("service_tier", None)
    if tier is None:
        return
    if tier == "fast":  # https://platform.claude.com/docs/en/build-with-claude/fast-mode
        body["speed"] = "fast"
    elif isinstance(tier, str) and tier in _TIERS:
        body["service_tier"] = _TIERS[tier]
    else:
        raise field(f'service_tier "{tier}"')


def _move_stop(fields: dict[str, Any], body: dict[str, Any]) -> None:
    stop = fields.pop("stop", None)
    if stop:
        body["stop_sequences"] = [stop] if isinstance(stop, str) else stop
