"""A request as it is sent: the user's own fields over the config's defaults."""

import json
from collections.abc import Callable
from typing import Any

import msgspec

from ..core.domain import Defaults, Request
from ..core.max_tokens import set_limit
from . import service_tier

_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode

# Which endpoints understand a config's defaults besides the model.
_GENERATING = frozenset({"/v1/chat/completions", "/v1/completions"})


class Encoder:
    """Merges without decoding what it does not need: values stay the bytes the user gave.
    ``asked(url)`` are fields that stand over the config's defaults, but under the user's."""

    def __init__(self, defaults: Defaults, asked: Callable[[str], dict[str, Any]] = lambda url: {}):
        self._model = msgspec.Raw(_encode(defaults.model))
        self._alias = {_encode(defaults.alias), json.dumps(defaults.alias).encode()}
        generating = dict(defaults.params)
        if defaults.max_tokens is not None:
            generating["max_tokens"] = defaults.max_tokens
        if defaults.temperature is not None:
            generating["temperature"] = defaults.temperature
        self._generating = {name: msgspec.Raw(_encode(value)) for name, value in generating.items()}
        self._tier = None
        if defaults.service_tier is not None:
            self._tier = msgspec.Raw(_encode(defaults.service_tier))
        self._own = {name: msgspec.Raw(_encode(value)) for name, value in defaults.own.items()}
        self._asked = asked
        self._asked_of: dict[str, dict[str, msgspec.Raw]] = {}

    def encode(self, request: Request) -> bytes:
        """The body to send. ``stream`` is left out: an answer is read whole."""
        body = _decode(request.body)
        body.pop("stream", None)
        body.pop("stream_options", None)
        given = body.get("model")
        if given is None or bytes(given) in self._alias:
            body["model"] = self._model
        for name, value in self._asked_at(request.url).items():
            body[name] = _joined(body[name], value) if name in body else value
        defaults = self._generating if request.url in _GENERATING else self._own
        for name, value in defaults.items():
            if name not in body and not (name == "max_tokens" and "max_completion_tokens" in body):
                body[name] = value
        if self._tier is not None and request.url in service_tier.ENDPOINTS:
            body.setdefault("service_tier", self._tier)
        if request.max_tokens is not None:
            set_limit(body, request.url, request.max_tokens)
        return _encode(body)

    def _asked_at(self, url: str) -> dict[str, msgspec.Raw]:
        if url not in self._asked_of:
            fields = self._asked(url)
            self._asked_of[url] = {name: msgspec.Raw(_encode(fields[name])) for name in fields}
        return self._asked_of[url]


def _joined(given: msgspec.Raw, asked: msgspec.Raw) -> msgspec.Raw:
    """The user's value; of the objects “text” of /v1/responses what it does not say itself too."""
    try:
        own, rest = _decode(given), _decode(asked)
    except msgspec.ValidationError:
        return given
    return msgspec.Raw(_encode({**rest, **own})) if "format" in rest else given
