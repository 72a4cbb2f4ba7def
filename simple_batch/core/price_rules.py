"""What a price depends on besides the kind of token: the service tier, the length of the input, the hour,
and whether the call is part of a provider's batch.

``PriceRules`` stands beside the base prices of a connection (``api_config.price_rules``, JSON) and of an
entry of the price table. The base prices are those of the standard tier, for short inputs, at the hours
whose factor is 1. They are changed in this order:

1. The service tier: its own prices, or factors. The tier is the one that the answer names. A request in a
   provider's batch has the tier ``BATCH``; where the batch price of the model is not known, its cost is
   unknown, never half by guess.
2. The long-context step: it holds for the whole request (OpenAI: a GPT-6 request above 272,000 input
   tokens costs twice the input and 1.5 times the output,
   https://developers.openai.com/api/docs/pricing, read 2026-11-28). The input that counts includes what
   was read from or written to a cache.
3. The hour: a factor.

A cache write for an hour costs ``cache_write_1h`` times the input price (Anthropic: 2, where one for five
minutes costs 1.25, https://platform.claude.com/docs/en/about-claude/pricing, read 2026-11-28); without that
rule it costs what every cache write costs.
"""

import re
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Any, Literal

import msgspec

from . import time_windows
from .errors import InvalidInput
from .messages import translatable
from .public_holidays import is_holiday, known_country

# names of the standard tier: OpenAI, Groq ("on_demand"), Anthropic and Gemini; "auto" is what was asked
# for, not what was used
STANDARD = frozenset({"", "default", "standard", "auto", "on_demand"})
BATCH = "batch"  # of what came through a provider's batch API; Anthropic names it so itself
_LARGEST = Decimal(1000)  # factor


def _check(amount: Decimal | None, most: Decimal, name: str) -> None:
    """Raises ValueError, which msgspec turns into a ValidationError."""
    if amount is not None and not (amount.is_finite() and 0 <= amount <= most):
        raise ValueError(f"{name} {amount} is not from 0 to {most}")


class OwnPrices(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Prices in units of the currency per million tokens; None: as input, or as output."""

    input: Decimal
    output: Decimal
    cached_input: Decimal | None = None
    cache_write: Decimal | None = None
    reasoning: Decimal | None = None

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            _check(getattr(self, name), Decimal(1_000_000), name)


class Rate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a tier, a batch or a long context costs: separate ``prices``, or factors. ``input`` is of all
    tokens of the input (cache writes too; cached ones unless ``cached_input`` is given), ``output`` of all
    tokens of the output."""

    input: Decimal = Decimal(1)
    output: Decimal = Decimal(1)
    prices: OwnPrices | None = None
    cached_input: Decimal | None = None

    def __post_init__(self) -> None:
        for name in ("input", "output", "cached_input"):
            _check(getattr(self, name), _LARGEST, name)

    @property
    def factors(self) -> tuple[Fraction, Fraction, Fraction]:
        """Of input, cached input and output, where there are no separate prices."""
        cached = self.input if self.cached_input is None else self.cached_input
        return exact(self.input), exact(cached), exact(self.output)


class LongContext(Rate, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """The rate of a request with more than ``above`` tokens of input."""

    above: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.above < 0:
            raise ValueError(f"above {self.above} is negative")


class HourFactor(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """``hours`` as users write them (“Mon-Fri 09:00-12:00, 14:00-18:00”), and what a price is multiplied
    by in them."""

    hours: str
    factor: Decimal

    def __post_init__(self) -> None:
        _check(self.factor, _LARGEST, "factor")


class HourRates(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Factors by hour and day in ``zone``: the first of ``windows`` that holds, else ``otherwise``. On the
    public holidays of the country ``holidays`` (ISO 3166, such as CN) ``on_holidays`` holds all day, else
    ``otherwise``; a weekend day that is worked in exchange stays one of the weekend. ``at`` is the moment
    of a call that decides. DeepSeek's words are “The completion timestamp of each request determines its
    pricing tier” (its pricing page of 2025; that of 2026 does not say), so it is the end if not given."""

    windows: tuple[HourFactor, ...]
    otherwise: Decimal = Decimal(1)
    zone: str = "UTC"
    holidays: str = ""
    on_holidays: Decimal | None = None
    at: Literal["start", "end"] = "end"

    def __post_init__(self) -> None:
        _check(self.otherwise, _LARGEST, "otherwise")
        _check(self.on_holidays, _LARGEST, "on_holidays")
        try:
            spans = [_hours(window.hours, self.zone) for window in self.windows]
        except InvalidInput as wrong:
            raise ValueError(str(wrong)) from None
        if None in spans:
            raise ValueError("a window has no hours")
        if self.holidays and not known_country(self.holidays):
            raise ValueError(f"public holidays of {self.holidays!r} are not known")

    def factor(self, at_ms: int) -> Decimal:
        """That of a moment (epoch ms)."""
        if self.holidays and is_holiday(self.holidays, self.zone, at_ms):
            return self.otherwise if self.on_holidays is None else self.on_holidays
        for window in self.windows:
            hours = _hours(window.hours, self.zone)
            if hours is not None and hours.open_at(at_ms):
                return window.factor
        return self.otherwise

    def all(self) -> set[Decimal]:
        """Every factor that may hold at some hour."""
        further = set() if self.on_holidays is None else {self.on_holidays}
        return {self.otherwise, *(window.factor for window in self.windows), *further}


class PriceRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """``tiers`` by the name that answers use; a tier that is not among them has no known price. ``batch``
    is the factor in a provider's batch, None where it is not known; ``tiers["batch"]`` stands there instead
    where one factor does not say it. ``cache_write_1h`` is the price of a cache write for an hour as a factor
    of the input price. ``date`` and ``source`` say where the rules come from."""

    tiers: dict[str, Rate] = {}
    batch: Decimal | None = None
    long_context: tuple[LongContext, ...] = ()
    hours: HourRates | None = None
    cache_write_1h: Decimal | None = None
    date: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        for name in ("batch", "cache_write_1h"):
            _check(getattr(self, name), _LARGEST, name)
        if self.batch is not None and BATCH in self.tiers:
            raise ValueError("batch and tiers.batch say the same: give one of them")
        if any(step.prices for step in self.long_context) and any(
            tier.prices for tier in self.tiers.values()
        ):
            raise ValueError("tiers with separate prices need factors for long contexts")
        above = [step.above for step in self.long_context]
        if above != sorted(set(above)):
            raise ValueError("long_context is not in ascending order")
        if self.date and not re.fullmatch(r"\d{4}-\d\d(-\d\d)?", self.date):
            raise ValueError(f"date {self.date!r} is not like 2026-11-24")

    def __bool__(self) -> bool:
        """Whether a price depends on anything."""
        factors = self.batch, self.cache_write_1h
        return bool(self.tiers or self.long_context or self.hours or factors != (None, None))

    def tier(self, name: str | None) -> Rate | None:
        """The rate of a service tier, ``BATCH`` for a request in a provider's batch; None where it is not
        known. An answer that names none is of the standard tier."""
        found = self.tiers.get(name or "")
        if found is not None or name is None:
            return found or _NO_CHANGE
        if is_batch(name) and self.batch is not None:
            return Rate(self.batch, self.batch)
        return _NO_CHANGE if name.lower() in STANDARD else self.tiers.get(name.lower())

    def with_batch(self, factor: Decimal) -> "PriceRules":
        """The same with this factor in a provider's batch."""
        tiers = {name: rate for name, rate in self.tiers.items() if not is_batch(name)}
        return msgspec.structs.replace(self, tiers=tiers, batch=factor)

    def step(self, input_tokens: int) -> LongContext | None:
        """The long-context step of a request with this input; None below the first."""
        steps = [step for step in self.long_context if input_tokens > step.above]
        return steps[-1] if steps else None

    def factors(self) -> list[Decimal]:
        """The factors of all hours, ascending."""
        return [ONE] if self.hours is None else sorted(self.hours.all())

    def factor(self, began_ms: int, ended_ms: int) -> Decimal:
        """The factor of the hour at which a call ran."""
        if self.hours is None:
            return ONE
        return self.hours.factor(began_ms if self.hours.at == "start" else ended_ms)

    def to_json(self) -> str:
        """As ``from_json`` reads it."""
        return msgspec.json.encode(self).decode()


_NO_CHANGE = Rate()
ONE = Decimal(1)  # the factor of a price that depends on no hour


def is_batch(tier: str | None) -> bool:
    """Whether a result of this service tier came through a provider's batch API."""
    return tier is not None and tier.lower() == BATCH


def from_json(text: str | bytes) -> PriceRules:
    """Rules as they are stored. Raises InvalidInput where they are none."""
    try:
        return msgspec.json.decode(text or b"{}", type=PriceRules, strict=False)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise InvalidInput(
            translatable("Price rules: %(error)s.", error=error), "price_rules"
        ) from None


def from_mapping(rules: dict[str, Any]) -> PriceRules:
    """Rules as a TOML file says them. Raises msgspec.ValidationError."""
    return msgspec.convert(rules, PriceRules, strict=False)


def exact(amount: Decimal) -> Fraction:
    """The same, exactly."""
    return Fraction(*amount.as_integer_ratio())


@lru_cache(256)
def _hours(text: str, zone: str) -> time_windows.Hours | None:
    return time_windows.parse(text, zone)
