"""What calls use and cost: tokens, prices of a connection, and what a cache, a tier, an hour or a batch saved.

Money is an integer of a billionth (nano) of the currency's unit.
"""

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

import msgspec

from .price_rules import ONE, LongContext, OwnPrices, PriceRules, Rate, exact, is_batch

NANO = 1_000_000_000
TOKENS_PER_PRICE = 1_000_000  # prices are given per million tokens


def in_units(nano: int, currency: str) -> str:
    """A sum of money in words for messages: at least two digits behind the point, all that are
    there."""
    whole, _, rest = f"{Decimal(nano) / NANO:f}".partition(".")
    return f"{whole}.{rest.rstrip('0').ljust(2, '0')} {currency}"


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Tokens of one call, or a sum of them. ``cached`` (read from the provider's prompt cache) and
    ``cache_write`` (written to it) are parts of ``input``, ``reasoning`` is part of ``output``, as in
    OpenAI's usage object. ``estimated`` counts the calls whose tokens are estimated, because the
    provider did not report them. ``cache_write_1h`` is the part of ``cache_write`` that is kept for an
    hour."""

    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    estimated: int = 0

    @property
    def total(self) -> int:
        """Tokens of input and output."""
        return self.input + self.output

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.input + other.input,
            self.output + other.output,
            self.cached + other.cached,
            self.reasoning + other.reasoning,
            self.cache_write + other.cache_write,
            self.cache_write_1h + other.cache_write_1h,
            self.estimated + other.estimated,
        )


class Saved(NamedTuple):
    """What a call saved, in nano-units, compared with the same tokens outside a batch, at the standard
    tier, at the dearest hour and without a cache: by the provider's prompt cache (negative where writing to
    it cost more than reading saved), by a cheaper service tier, by a cheaper hour, by the provider's
    batch."""

    cache: int = 0
    tier: int = 0
    hours: int = 0
    batch: int = 0


NOTHING_SAVED = Saved()


class _TokenRates(NamedTuple):
    """Nano-units per million tokens, as numerators over one ``denominator``."""

    input: int
    cached: int
    written: int
    written_1h: int
    output: int
    reasoning: int
    denominator: int

    def cost(self, usage: Usage) -> int:
        """Rounded half up."""
        into, cached, written, written_1h, output, reasoning, denominator = self
        amount = (
            (usage.input - usage.cached - usage.cache_write) * into
            + usage.cached * cached
            + (usage.cache_write - usage.cache_write_1h) * written
            + usage.cache_write_1h * written_1h
            + (usage.output - usage.reasoning) * output
            + usage.reasoning * reasoning
        )
        unit = TOKENS_PER_PRICE * denominator
        return (2 * amount + unit) // (2 * unit)

    def costs(self, usages: list[Usage]) -> list[int]:
        """The same for many calls, most of which have neither cache nor reasoning."""
        into, _cached, _written, _written_1h, output, _reasoning, denominator = self
        unit = TOKENS_PER_PRICE * denominator
        double, cost = 2 * unit, self.cost
        return [
            cost(usage)
            if usage.cached or usage.cache_write or usage.reasoning
            else (2 * (usage.input * into + usage.output * output) + unit) // double
            for usage in usages
        ]


class Prices(msgspec.Struct, frozen=True, dict=True):
    """Prices in nano-units per million tokens; None where unknown. Cached input, cache writes and
    reasoning without their own price cost what input and output do. ``rules`` say what they depend on
    (core/price_rules.py). Every cost is in nano-units, rounded half up, and None where a price or the
    usage that it needs is unknown, or the service tier, or the price in a batch."""

    currency: str = "USD"
    input: int | None = None
    cached_input: int | None = None
    output: int | None = None
    reasoning: int | None = None
    cache_write: int | None = None
    rules: PriceRules = PriceRules()

    def cost(self, usage: Usage | None) -> int | None:
        """Cost of one call at the standard tier and the dearest hour, outside a batch."""
        if self.rules.hours is None:
            return self._cost(usage, None, ONE, None)
        return self._cost(usage, None, self.rules.factors()[-1], None)

    def cost_of(
        self,
        usage: Usage | None,
        ended_ms: int,
        service_tier: str | None = None,
        began_ms: int | None = None,
        longest: int | None = None,
    ) -> int | None:
        """Cost of a call that ran from ``began_ms`` to ``ended_ms`` (epoch ms) at the tier that its answer
        names. Where ``usage`` is a sum of calls, ``longest`` is the input of the longest of them."""
        if self.rules.hours is None:
            return self._cost(usage, service_tier, ONE, longest)
        began_ms = ended_ms if began_ms is None else began_ms
        return self._cost(usage, service_tier, self.rules.factor(began_ms, ended_ms), longest)

    def cheapest(
        self, usage: Usage, service_tier: str | None, longest: int | None = None
    ) -> int | None:
        """The lowest cost that calls at a tier can have, at any hour."""
        return self._cost(usage, service_tier, self.rules.factors()[0], longest)

    def dearest(
        self, usage: Usage, service_tier: str | None, longest: int | None = None
    ) -> int | None:
        """The highest cost that calls can have for which a tier was asked: it or the standard one may be
        used, in a batch only the batch's price, at any hour."""
        if self.rules.hours is None and (service_tier is None or is_batch(service_tier)):
            return self._cost(usage, service_tier, ONE, longest)
        factor = self.rules.factors()[-1]
        tiers = (service_tier,) if is_batch(service_tier) else (None, service_tier)
        costs = [self._cost(usage, tier, factor, longest) for tier in tiers]
        known = [cost for cost in costs if cost is not None]
        return max(known) if len(known) == len(costs) else None

    def saved(
        self,
        usage: Usage | None,
        ended_ms: int,
        service_tier: str | None = None,
        began_ms: int | None = None,
    ) -> Saved:
        """What a call saved; see Saved. Nothing where its cost is unknown. A dearer tier saves nothing."""
        cost = self.cost_of(usage, ended_ms, service_tier, began_ms)
        return (
            Saved() if usage is None or cost is None else self.saved_at(cost, usage, service_tier)
        )

    def saved_at(self, cost: int, usage: Usage, service_tier: str | None) -> Saved:
        """The same for a call whose cost is known."""
        standard = self.cost(usage)
        if standard is None:
            return Saved()
        uncached = standard
        if usage.cached or usage.cache_write:
            uncached = self.cost(Usage(usage.input, usage.output, 0, usage.reasoning)) or 0
        at_tier = cost
        if self.rules.hours is not None:
            at_tier = self._cost(usage, service_tier, self.rules.factors()[-1], None) or 0
        cache, hours, less = uncached - standard, at_tier - cost, max(0, standard - at_tier)
        if is_batch(service_tier):
            return Saved(cache=cache, hours=hours, batch=less)
        return Saved(cache=cache, hours=hours, tier=less)

    def _cost(
        self, usage: Usage | None, tier: str | None, factor: Decimal, longest: int | None
    ) -> int | None:
        if usage is None:
            return None
        step = None
        if self.rules.long_context:
            step = self.rules.step(usage.input if longest is None else longest)
        rates = self._rates(tier, step, factor)
        return None if rates is None else rates.cost(usage)

    def _rates(
        self, tier: str | None, step: LongContext | None, factor: Decimal
    ) -> _TokenRates | None:
        """Kept: few combinations come up, and each call asks."""
        kept: dict[Any, _TokenRates | None] = self.__dict__.setdefault("kept_rates", {})
        key = (
            tier if step is None and factor is ONE else (tier, step.above if step else None, factor)
        )
        if key not in kept:
            if len(kept) > _MAX_RATES:
                kept.clear()  # answers may name any tier
            kept[key] = self._new_rates(self.rules.tier(tier), step, factor)
        return kept[key]

    def _new_rates(
        self, rate: Rate | None, step: LongContext | None, factor: Decimal
    ) -> _TokenRates | None:
        if rate is None:
            return None
        own = rate.prices or (step.prices if step is not None else None)
        base = (self if own is None else _own_prices(own))._base(self.rules.cache_write_1h)
        if base is None:
            return None
        into = cached = out = exact(factor)
        for each in (rate, step):
            if each is not None and each.prices is None:
                of_input, of_cached, of_output = each.factors
                into, cached, out = into * of_input, cached * of_cached, out * of_output
        factors = into, cached, into, into, out, out
        rates = [price * by for price, by in zip(base, factors, strict=True)]
        denominator = math.lcm(*(price.denominator for price in rates))
        return _TokenRates._make([*(int(price * denominator) for price in rates), denominator])

    def _base(self, cache_write_1h: Decimal | None) -> tuple[Fraction, ...] | None:
        """Input, cached input, cache writes, those for an hour, output, reasoning."""
        if self.input is None or self.output is None:
            return None
        written = self.input if self.cache_write is None else self.cache_write
        for_an_hour = (
            Fraction(written) if cache_write_1h is None else self.input * exact(cache_write_1h)
        )
        return (
            Fraction(self.input),
            Fraction(self.input if self.cached_input is None else self.cached_input),
            Fraction(written),
            for_an_hour,
            Fraction(self.output),
            Fraction(self.output if self.reasoning is None else self.reasoning),
        )


_MAX_RATES = 100


class CallPrices:
    """Prices of calls of one time and tier, of which there are many."""

    def __init__(self, prices: Prices, ended_ms: int, service_tier: str, began_ms: int):
        self._prices = prices
        self._of_all = ended_ms, service_tier, began_ms
        self._depend = bool(prices.rules)
        self._plain = prices.rules.hours is None and not prices.rules.long_context
        self._rates = prices._rates(service_tier, None, ONE)
        self._standard = prices._rates(None, None, ONE)

    def costs(self, usages: list[Usage]) -> list[int | None]:
        """Prices.cost_of for each call."""
        if not self._plain:
            return [self._prices.cost_of(usage, *self._of_all) for usage in usages]
        return [None] * len(usages) if self._rates is None else [*self._rates.costs(usages)]

    def saved(self, costs: list[int | None], usages: list[Usage]) -> dict[str, tuple[int, int]]:
        """Prices.saved_at of all together: how many of the calls saved, and how much, by field of Saved."""
        cached = any(usage.cached or usage.cache_write for usage in usages)
        if not (self._depend or cached):
            return {}
        if self._plain and self._standard is not None and not cached and is_batch(self._of_all[1]):
            standard = self._standard.costs(usages)
            less = [
                usual - cost
                for usual, cost in zip(standard, costs, strict=True)
                if cost is not None and usual > cost
            ]
            return {"batch": (len(less), sum(less))}
        each = [
            self._prices.saved_at(cost, usage, self._of_all[1])
            for cost, usage in zip(costs, usages, strict=True)
            if cost is not None and (self._depend or usage.cached or usage.cache_write)
        ]
        return {
            by: (sum(amount > 0 for amount in amounts), sum(amounts))
            for by, amounts in zip(Saved._fields, zip(*each, strict=True), strict=bool(each))
        }


def _own_prices(own: OwnPrices) -> Prices:
    """Those of a tier or a long context."""

    def nano(price: Decimal | None) -> int | None:
        return None if price is None else int((price * NANO).to_integral_value())

    return Prices(
        input=nano(own.input),
        cached_input=nano(own.cached_input),
        output=nano(own.output),
        reasoning=nano(own.reasoning),
        cache_write=nano(own.cache_write),
    )
