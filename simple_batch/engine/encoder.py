"""A request as it is sent: the user's own fields over the config's defaults."""

import json

import msgspec

from ..domain import Defaults, Request

_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode

# Which of the defaults an endpoint understands besides the model.
_GENERATING = frozenset({"/v1/chat/completions", "/v1/completions"})


class Encoder:
    """Merges without decoding what it does not need: values stay the bytes the user gave."""

    def __init__(self, defaults: Defaults):
        self._model = msgspec.Raw(_encode(defaults.model))
        self._alias = {_encode(defaults.alias), json.dumps(defaults.alias).encode()}
        generating = dict(defaults.params)
        if defaults.max_tokens is not None:
            generating["max_tokens"] = defaults.max_tokens
        if defaults.temperature is not None:
            generating["temperature"] = defaults.temperature
        self._generating = {name: msgspec.Raw(_encode(value)) for name, value in generating.items()}

    def encode(self, request: Request) -> bytes:
        """The body to send. ``stream`` is left out: an answer is read whole."""
        body = _decode(request.body)
        body.pop("stream", None)
        body.pop("stream_options", None)
        given = body.get("model")
        if given is None or bytes(given) in self._alias:
            body["model"] = self._model
        if request.url in _GENERATING:
            for name, value in self._generating.items():
                if name not in body and not (
                    name == "max_tokens" and "max_completion_tokens" in body
                ):
                    body[name] = value
        return _encode(body)
