"""Fields of chat completions that Anthropic's Messages API does not have.

Source: the list of ignored fields of Anthropic's own OpenAI compatibility
(https://platform.claude.com/docs/en/cli-sdks-libraries/libraries/openai-sdk, read 2026-11-28) and the
parameters of POST /v1/messages (package anthropic 2.14.0, types/message_create_params.py). Where Anthropic
ignores a field, a request here fails instead: its answer would not be what was asked for.
"""

from collections.abc import Mapping
from typing import Any

from ...core.messages import Message
from ...core.stored_messages import NO_COUNTERPART, NOT_TRANSLATED

# field: its value that asks for nothing, besides null
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "audio": (),
    "frequency_penalty": (0,),
    "function_call": (),
    "functions": ([],),
    "logit_bias": ({},),
    "logprobs": (False,),
    "min_p": (0,),
    "modalities": (["text"],),
    "moderation": (),
    "n": (1,),
    "prediction": (),
    "presence_penalty": (0,),
    "prompt_cache_key": (),
    "prompt_cache_options": (),
    "prompt_cache_retention": (),
    "repetition_penalty": (1,),
    "seed": (),
    "store": (False,),
    "top_logprobs": (0,),
    "verbosity": ("medium",),
    "web_search_options": (),
}
FIELDS = frozenset(_NEUTRAL)
METADATA = "user_id"  # the only key of the API's metadata


class NoCounterpart(Exception):
    """A request cannot be sent over the Messages API; ``message`` names the field and the remedy.
    ``parameter`` is the field, if it would do to leave it out."""

    def __init__(self, message: Message, parameter: str | None = None):
        super().__init__(message)
        self.message = message
        self.parameter = parameter


def field(name: str) -> NoCounterpart:
    """The exception for a field, or a value of it, that the API does not have."""
    return NoCounterpart(NO_COUNTERPART(field=name), name.split()[0])


def invalid(name: str, why: Message) -> NoCounterpart:
    """The exception for a field that cannot be translated as it is."""
    return NoCounterpart(NOT_TRANSLATED(field=name, why=why))


def is_neutral(name: str, value: Any) -> bool:
    """Whether a field of FIELDS asks for nothing, so that it can be left out."""
    return value is None or any(value == one for one in _NEUTRAL[name])


def take_out(fields: dict[str, Any]) -> None:
    """Remove the fields that the API does not have. Raises NoCounterpart for the first that asks for
    something."""
    for name in sorted(FIELDS & fields.keys()):
        if not is_neutral(name, fields.pop(name)):
            raise field(name)


def without(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of a config less those that the API does not have."""
    kept = {name: value for name, value in params.items() if name not in FIELDS}
    if _other_metadata(params):
        kept["metadata"] = {METADATA: params["metadata"].get(METADATA)}
    return kept


def left_out(params: Mapping[str, Any]) -> list[str]:
    """The names of those that ``without`` removes although they ask for something."""
    found = [name for name in FIELDS & params.keys() if not is_neutral(name, params[name])]
    return sorted(found + [f"metadata.{name}" for name in _other_metadata(params)])


def _other_metadata(params: Mapping[str, Any]) -> list[str]:
    given = params.get("metadata")
    return [name for name in given if name != METADATA] if isinstance(given, dict) else []
