"""Checks of what users enter, for configs and jobs alike; each raises InvalidInput naming the field."""

import json
import re
from decimal import Decimal
from urllib.parse import urlsplit

from ..core import context
from ..core.address_policy import AddressPolicy, AddressRefused
from ..core.call_prices import NANO
from ..core.errors import InvalidInput
from ..core.messages import Message, translatable

MAX_CAP = 1_000_000_000
MAX_PRICE = 1_000_000


def valid_base_url(url: str) -> str:
    """The URL without a trailing slash. Raises InvalidInput saying what is wrong with it."""
    url = (url or "").strip().rstrip("/")

    def wrong(why: Message) -> InvalidInput:
        return InvalidInput(
            translatable("Base URL: %(why)s, for example https://api.openai.com/v1.", why=why),
            "base_url",
        )

    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise wrong(translatable("it cannot be read; give scheme, host and path")) from None
    if parts.scheme not in ("http", "https"):
        raise wrong(translatable("it begins with http:// or https://"))
    if not parts.hostname or re.search(r"[\s\x00-\x1f\x7f\\]", url) or port == 0:
        raise wrong(translatable("give a host, and no spaces"))
    if refused := refusal(parts.hostname):
        raise InvalidInput(refused, "base_url")
    if parts.username or parts.password:
        raise wrong(translatable("leave user name and password out, the key has its own field"))
    if parts.query or parts.fragment:
        raise wrong(translatable("leave out what follows ? or #"))
    for ending in (
        "/chat/completions",
        "/completions",
        "/embeddings",
        "/responses",
        "/messages",
    ):
        if parts.path.endswith(ending):
            raise wrong(
                translatable("leave out %(ending)s, each request names its own path", ending=ending)
            )
    if len(url) > 2000:
        raise wrong(translatable("it is longer than 2,000 characters"))
    return url


def refusal(host: str) -> str | None:
    """Why nothing may be sent to a host that is an address; of a name, only its address counts, when
    it is connected to."""
    try:
        AddressPolicy.of(context.settings().ALLOWED_PRIVATE_HOSTS).check(host)
    except AddressRefused as refused:
        return refused.text
    return None


def required_text(value: str | None, field: str, length: int, label: str) -> str:
    """The text without spaces around it. Raises InvalidInput naming the field."""
    value = (value or "").strip()
    if not value:
        raise InvalidInput(translatable("%(label)s: it is required.", label=label), field)
    if len(value) > length or not value.isprintable():
        raise InvalidInput(
            translatable(
                "%(label)s: up to %(length)s printable characters.", label=label, length=length
            ),
            field,
        )
    return value


def within(value: float | None, field: str, low: float, high: float, label: str) -> float | None:
    """The number, if it lies within the bounds, or None. Raises InvalidInput naming the field."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise InvalidInput(
            translatable("%(label)s: %(value)r is not a number.", label=label, value=value), field
        )
    if value is not None and not low <= value <= high:
        raise InvalidInput(
            translatable(
                "%(label)s: %(value)s is not from %(low)s to %(high)s.",
                label=label,
                value=value,
                low=f"{low:,}",
                high=f"{high:,}",
            ),
            field,
        )
    return value


def params_json(params: dict) -> str:
    """Parameters as they are stored. Raises InvalidInput where they are no valid JSON."""
    try:
        text = json.dumps(params, ensure_ascii=False, allow_nan=False)
        text.encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError):
        raise InvalidInput(
            translatable("Parameters: a number or nesting in them is no valid JSON."), "params"
        ) from None
    if len(text) > 100_000:
        raise InvalidInput(translatable("Parameters: longer than 100,000 characters."), "params")
    return text


def provider_id(provider: str | None) -> str:
    """The id of a provider in the gallery; empty for an endpoint that is none of them. Raises
    InvalidInput."""
    provider = (provider or "").strip()
    if provider and not re.fullmatch(r"[a-z0-9][a-z0-9.-]{0,99}", provider):
        raise InvalidInput(
            translatable("Provider: lower-case letters, digits, dots and hyphens."), "provider"
        )
    return provider


def service_tier(tier: str | None) -> str | None:
    """None where the provider's own choice holds. Raises InvalidInput."""
    tier = (tier or "").strip()
    if tier and not re.fullmatch(r"[\w.-]{1,100}", tier, re.ASCII):
        raise InvalidInput(
            translatable("Service tier: one word, for example flex or priority."), "service_tier"
        )
    return tier or None


def currency_code(currency: str | None) -> str:
    """Three capital letters. Raises InvalidInput."""
    currency = (currency or "").strip().upper()
    if not re.fullmatch("[A-Z]{3}", currency):
        raise InvalidInput(
            translatable("Currency: three letters, for example USD or CNY."), "currency"
        )
    return currency


def price_nano(price: Decimal | None, field: str, label: str) -> int | None:
    """A price in nano-units. Raises InvalidInput naming the field."""
    if price is None:
        return None
    if not price.is_finite() or not 0 <= price <= MAX_PRICE:
        raise InvalidInput(
            translatable(
                "%(label)s: %(price)s is not from 0 to 1,000,000.", label=label, price=price
            ),
            field,
        )
    return int((price * NANO).to_integral_value())


def cap_nano(cap: Decimal | None, field: str, label: str) -> int | None:
    """A spend cap in nano-units. Raises InvalidInput naming the field."""
    if cap is None:
        return None
    if not cap.is_finite() or not 0 < cap <= MAX_CAP:
        raise InvalidInput(
            translatable(
                "%(label)s: %(cap)s is not over 0 and up to %(limit)s.",
                label=label,
                cap=cap,
                limit=f"{MAX_CAP:,}",
            ),
            field,
        )
    return max(1, int((cap * NANO).to_integral_value()))


def units(nano: int | None) -> Decimal | None:
    """Money as people enter it."""
    return None if nano is None else (Decimal(nano) / NANO).normalize()
