"""Reading what a client sends: JSON bodies, nested objects of forms, paging."""

import json
import re

from flask import request

from ..core import request_input
from ..core.domain import Service, Sharing
from ..core.errors import InvalidInput
from ..core.settings import MIB
from .errors import ApiError

MAX_PAIRS, MAX_KEY, MAX_VALUE = 16, 64, 512
SERVICE_KEY = "simple_batch_service"  # in the metadata of a batch
MAX_MINUTES = 60 * 24 * 365
_WINDOW = re.compile(r"([1-9]\d{0,5})([hm])")


def json_body() -> dict:
    """The body as an object. Raises ApiError."""
    if (request.content_length or 0) > MIB:
        raise ApiError(413, "The body may have up to 1 MiB.", code="request_too_large")
    request.max_content_length = MIB
    try:
        body = request.get_json(silent=True, force=True)
    except RecursionError:  # a thousand brackets
        body = None
    if not isinstance(body, dict):
        raise ApiError(400, "The body must be a JSON object.", code="invalid_json")
    if not request_input.storable(json.dumps(body, ensure_ascii=False)):
        raise ApiError(400, "The body has half a surrogate pair in it.", code="invalid_json")
    return body


def required_text(body: dict, name: str) -> str:
    """Raises InvalidInput where it is missing or no text."""
    value = body.get(name)
    if value is None:
        raise InvalidInput(f"Missing required parameter: '{name}'.", name)
    if not isinstance(value, str):
        raise InvalidInput(f"Invalid type for '{name}': expected a string.", name)
    return value


def window_s(value: str) -> int:
    """Seconds of a completion window: OpenAI's 24h, and any other number of h or m."""
    found = _WINDOW.fullmatch(value)
    minutes = int(found[1]) * (60 if found[2] == "h" else 1) if found else 0
    if not 1 <= minutes <= MAX_MINUTES:
        raise InvalidInput(
            f"Invalid value: {value[:40]!r}. Give '24h', or another number of hours or minutes up "
            "to a year, like '90m'.",
            "completion_window",
        )
    return minutes * 60


def metadata(value) -> dict[str, str] | None:
    """Checked for OpenAI's limits. Raises InvalidInput."""
    if value is None:
        return None
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise InvalidInput("metadata must be an object of strings.", "metadata")
    if len(value) > MAX_PAIRS:
        raise InvalidInput(f"metadata may have up to {MAX_PAIRS} pairs.", "metadata")
    for key, text in value.items():
        if len(key) > MAX_KEY or len(text) > MAX_VALUE:
            raise InvalidInput(
                f"metadata: keys may have up to {MAX_KEY} characters, values up to {MAX_VALUE}.",
                f"metadata.{key[:MAX_KEY]}",
            )
    return value


def service(body: dict, metadata: dict[str, str] | None) -> Service:
    """How the requests of a batch are sent: the field ``service`` (the openai client's ``extra_body``), else
    the metadata ``SERVICE_KEY``. Raises InvalidInput, also where both differ."""
    named = [
        (name, value)
        for name, value in (
            ("service", body.get("service")),
            (f"metadata.{SERVICE_KEY}", (metadata or {}).get(SERVICE_KEY)),
        )
        if value is not None
    ]
    for name, value in named:
        if value not in list(Service):
            raise InvalidInput(
                f"Invalid value for {name}: {str(value)[:40]!r}. Supported values are: "
                f"{', '.join(Service)}.",
                name,
            )
    if len({value for _name, value in named}) > 1:
        raise InvalidInput(
            f"service and metadata.{SERVICE_KEY} differ: leave one of them out.", "service"
        )
    return Service(named[0][1]) if named else Service.NOW


def sharing(body: dict) -> Sharing | None:
    """Who else sees the batch: the field ``sharing`` (the openai client's ``extra_body``); None: the setting
    says. Raises InvalidInput."""
    given = body.get("sharing")
    if given is None:
        return None
    if given not in list(Sharing):
        raise InvalidInput(
            f"Invalid value for sharing: {str(given)[:40]!r}. Supported values are: "
            f"{', '.join(Sharing)}.",
            "sharing",
        )
    return Sharing(given)


def keep_s(value, name: str) -> int | None:
    """Seconds of an expiration policy ``{"anchor": "created_at", "seconds": n}``; None without one.
    Raises InvalidInput."""
    if value is None:
        return None
    if not isinstance(value, dict) or value.get("anchor") != "created_at":
        raise InvalidInput(f"{name}.anchor must be 'created_at'.", f"{name}.anchor")
    seconds = value.get("seconds")
    if isinstance(seconds, float) and seconds.is_integer():  # JSON knows one kind of number
        seconds = int(seconds)
    if isinstance(seconds, bool) or not isinstance(seconds, int):
        raise InvalidInput(f"{name}.seconds must be an integer.", f"{name}.seconds")
    return seconds


def nested(name: str):
    """A nested object of a form: OpenAI's clients send its keys as ``name[key]``, clients generated
    from OpenAI's description one part of JSON. None where there is none. Raises InvalidInput."""
    if name in request.form:
        try:
            return json.loads(request.form[name])
        except (ValueError, RecursionError):
            raise InvalidInput(
                f"{name} must be JSON, or sent as {name}[anchor] and {name}[seconds].", name
            ) from None
    found = {
        key[len(name) + 1 : -1]: _number_or_text(value)
        for key, value in request.form.items()
        if key.startswith(f"{name}[") and key.endswith("]")
    }
    return found or None


def _number_or_text(text: str) -> int | str:
    return int(text) if _is_number(text) else text


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 12


def limit(maximum: int, default: int) -> int:
    """The page's length. Raises InvalidInput."""
    given = request.args.get("limit")
    if given is None:
        return default
    if not _is_number(given) or not 1 <= int(given) <= maximum:
        raise InvalidInput(f"limit must be an integer from 1 to {maximum}.", "limit")
    return int(given)


def idempotency_key() -> str | None:
    """The key of this create, if it has one. Raises InvalidInput."""
    key = request.headers.get("Idempotency-Key", "").strip()
    if len(key) > 255:
        raise InvalidInput("Idempotency-Key: up to 255 characters.", "Idempotency-Key")
    return key or None
