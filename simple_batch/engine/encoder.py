"""A request as it is sent: the user's own fields over those of the job and the config."""

import json
from collections.abc import Callable
from typing import Any

import msgspec

from ..core.domain import Adjustment, ApiFormat, Defaults, Request
from ..core.max_tokens import NAMES as LIMITS
from ..core.max_tokens import set_limit
from . import service_tier
from .adjustments import adjust_body, adjust_defaults, of_call
from .anthropic import no_counterpart
from .body_paths import Fields, without
from .endpoint_parameters import CHAT, COMPLETIONS, MERGED, RESPONSES, fields_at

_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode
_encode = msgspec.json.Encoder().encode
_COMPLETION, _OUTPUT = "max_completion_tokens", "max_output_tokens"
_GENERATING = frozenset({CHAT, COMPLETIONS, RESPONSES})


class _Plan(msgspec.Struct, frozen=True):
    """What calls of one endpoint and model get: ``defaults`` where the user does not say them;
    ``limits`` is the limit of the answer's tokens, where the user says none by any name; ``adjustments``
    hold for the user's own fields too."""

    defaults: Fields
    limits: tuple[tuple[str, msgspec.Raw], ...]
    adjustments: tuple[Adjustment, ...] = ()


class Encoder:
    """Merges without decoding what it does not need: values stay the bytes the user gave.
    ``asked(url)`` are fields that stand over the config's defaults, but under the user's."""

    def __init__(self, defaults: Defaults, asked: Callable[[str], dict[str, Any]] = lambda url: {}):
        self._defaults = defaults
        self._model = msgspec.Raw(_encode(defaults.model))
        self._alias = {_encode(defaults.alias), json.dumps(defaults.alias).encode()}
        self._left_out = defaults.left_out
        self._adjustments = defaults.adjustments
        self._adjusts = bool(defaults.left_out or defaults.adjustments)
        self._asked = asked
        self._asked_of: dict[str, Fields] = {}
        self._plans: dict[str, _Plan] = {}  # by endpoint
        self._adjusted: dict[tuple[str, bytes], _Plan] = {}  # by endpoint and model

    def encode(self, request: Request) -> bytes:
        """The body to send. ``stream`` is left out: how an answer is read is decided where it is
        sent."""
        return _encode(self._fields(request))

    def encode_for_batch(self, request: Request) -> tuple[bytes, str]:
        """The same without a service tier, which a batch has itself, and the name of the model; "" where that
        is no text: the provider says what is wrong with it."""
        body = self._fields(request)
        if "service_tier" in body:
            service_tier.remove(body)
        model = body.get("model")
        if model is self._model:
            return _encode(body), self._defaults.model
        return _encode(body), "" if model is None else _name(model)

    def _fields(self, request: Request) -> Fields:
        body = _decode(request.body)
        body.pop("stream", None)
        body.pop("stream_options", None)
        given = body.get("model")
        if given is None or bytes(given) in self._alias:
            body["model"] = self._model
        asked = self._asked_of.get(request.url)
        if asked is None:
            asked = self._asked_at(request.url)
        for name, value in asked.items():
            body[name] = _joined(name, body[name], value) if name in body else value
        plan = self._plans.get(request.url) or self._plan(request.url)
        if self._adjusts:
            plan = self._adjusted_plan(request.url, body["model"], plan)
        for name, value in plan.defaults.items():
            if name not in body:
                body[name] = value
            elif name in MERGED:
                body[name] = _joined(name, body[name], value)
        for name, value in plan.limits:  # one at most; spelt out, because this runs for every call
            if not ("max_tokens" in body or _COMPLETION in body or _OUTPUT in body):
                body[name] = value
        if request.max_tokens is not None:
            set_limit(body, request.url, request.max_tokens)
        if self._adjusts:
            for path in self._left_out:
                without(body, path)
            adjust_body(body, plan.adjustments)
        return body

    def _plan(self, url: str) -> _Plan:
        params, own = _generating(self._defaults), self._defaults.own
        if self._defaults.api_format is ApiFormat.ANTHROPIC:
            params, own = no_counterpart.without(params), no_counterpart.without(own)
        fields = fields_at(url, params)
        if url not in _GENERATING:
            fields.update(own)
        if self._defaults.service_tier is not None and url in service_tier.ENDPOINTS:
            fields["service_tier"] = self._defaults.service_tier
        plan = _divided({name: msgspec.Raw(_encode(value)) for name, value in fields.items()})
        self._plans[url] = plan
        return plan

    def _adjusted_plan(self, url: str, model: msgspec.Raw, plan: _Plan) -> _Plan:
        """The same with what was learned about the model; models that have nothing get the same."""
        key = url, bytes(model)
        found = self._adjusted.get(key)
        if found is not None:
            return found
        known = of_call(self._adjustments, _name(model), url)
        if not known:
            return plan
        defaults = {**plan.defaults, **dict(plan.limits)}
        adjust_defaults(defaults, known)
        found = self._adjusted[key] = _divided(defaults, known)
        return found

    def _asked_at(self, url: str) -> Fields:
        fields = self._asked(url)
        encoded = {name: msgspec.Raw(_encode(fields[name])) for name in fields}
        self._asked_of[url] = encoded
        return encoded


def _divided(fields: Fields, adjustments: tuple[Adjustment, ...] = ()) -> _Plan:
    limits = tuple((name, fields.pop(name)) for name in LIMITS if name in fields)
    return _Plan(fields, limits, adjustments)


def _generating(defaults: Defaults) -> dict[str, Any]:
    """All parameters of a config and a job; of several limits the one that its further parameters
    name."""
    fields = dict(defaults.params)
    if defaults.max_tokens is not None and not any(name in fields for name in LIMITS):
        fields["max_tokens"] = defaults.max_tokens
    if defaults.temperature is not None:
        fields["temperature"] = defaults.temperature
    return fields


def _name(model: msgspec.Raw) -> str:
    try:
        return _decode_text(model)
    except msgspec.ValidationError:
        return ""


def _joined(name: str, given: msgspec.Raw, asked: msgspec.Raw) -> msgspec.Raw:
    """The user's value; of the objects “text” and “reasoning” what it does not say itself too."""
    if name not in MERGED:
        return given
    try:
        own, rest = _decode(given), _decode(asked)
    except msgspec.ValidationError:
        return given
    return msgspec.Raw(_encode({**rest, **own}))
