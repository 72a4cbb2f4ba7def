"""The limit of an answer's tokens in the body of a request.

Sources of the names: OpenAI's API reference, ``max_completion_tokens`` and ``max_tokens`` of chat
completions, ``max_tokens`` of completions, ``max_output_tokens`` of responses.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

NAMES = ("max_completion_tokens", "max_tokens", "max_output_tokens")
MOST_DOUBLED = 131_072  # what doubling does not exceed: the most that current models answer
_RESPONSES = "/v1/responses"
_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class _Limits(msgspec.Struct):
    max_completion_tokens: Any = None
    max_tokens: Any = None
    max_output_tokens: Any = None


_limits = msgspec.json.Decoder(_Limits).decode


def limit_of(body: bytes) -> int | None:
    """The limit that a body sets; None where it sets none."""
    found = _limits(body)
    return limit_among({name: getattr(found, name) for name in NAMES})


def limit_among(params: Mapping[str, Any]) -> int | None:
    """The same of decoded fields or parameters."""
    for name in NAMES:
        value = params.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None


def doubled(limit: int) -> int:
    """Twice a limit, up to MOST_DOUBLED; never less than it was."""
    return max(limit, min(2 * limit, MOST_DOUBLED))


def set_limit(fields: dict[str, msgspec.Raw], url: str, limit: int) -> None:
    """Set the limit in the fields of a body: by the names that are there, else by the endpoint's."""
    usual = "max_output_tokens" if url == _RESPONSES else "max_tokens"
    for name in [name for name in NAMES if name in fields] or [usual]:
        fields[name] = msgspec.Raw(str(limit).encode())


def limited(body: bytes, url: str, limit: int) -> bytes:
    """A body with this limit; what else it says stays to the letter."""
    fields = _decode(body)
    set_limit(fields, url, limit)
    return msgspec.json.encode(fields)
