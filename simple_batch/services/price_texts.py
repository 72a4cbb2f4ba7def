"""Price rules in words, for pages and commands."""

from decimal import Decimal

from ..core.messages import Message, translatable
from ..core.price_rules import BATCH, HourRates, OwnPrices, PriceRules, Rate, is_batch


def rules_in_words(rules: PriceRules) -> list[Message]:
    """One sentence for each rule; none where the prices depend on nothing."""
    found = [
        translatable("Service tier %(tier)s: %(rate)s", tier=name, rate=_rate(rate))
        for name, rate in rules.tiers.items()
        if not is_batch(name)
    ]
    found += [
        translatable(
            "Above %(tokens)s input tokens, for the whole request: %(rate)s",
            tokens=f"{step.above:,}",
            rate=_rate(step),
        )
        for step in rules.long_context
    ]
    if rules.hours is not None:
        found += _hours(rules.hours)
    in_batch = rules.tier(BATCH)
    if in_batch is not None:
        found.append(translatable("In the provider's batch: %(rate)s", rate=_rate(in_batch)))
    if rules.cache_write_1h is not None:
        found.append(
            translatable(
                "Cache writes for an hour: %(factor)s × the input price",
                factor=rules.cache_write_1h,
            )
        )
    return found


def _rate(rate: Rate) -> Message:
    if rate.prices is not None:
        return _own(rate.prices)
    if rate.cached_input not in (None, rate.input):
        return translatable(
            "input × %(input)s, cached input × %(cached)s, output × %(output)s",
            input=rate.input,
            cached=rate.cached_input,
            output=rate.output,
        )
    if rate.input == rate.output:
        return translatable("× %(factor)s", factor=rate.input)
    return translatable(
        "input × %(input)s, output × %(output)s", input=rate.input, output=rate.output
    )


def _own(prices: OwnPrices) -> Message:
    return translatable("%(input)s in, %(output)s out", input=prices.input, output=prices.output)


def _hours(hours: HourRates) -> list[Message]:
    found = [
        translatable(
            "%(hours)s (%(zone)s): × %(factor)s",
            hours=window.hours,
            zone=hours.zone,
            factor=window.factor,
        )
        for window in hours.windows
    ]
    found.append(translatable("At other hours: × %(factor)s", factor=hours.otherwise))
    if hours.holidays:
        factor: Decimal = hours.otherwise if hours.on_holidays is None else hours.on_holidays
        found.append(
            translatable(
                "On public holidays of %(country)s: × %(factor)s",
                country=hours.holidays,
                factor=factor,
            )
        )
    return found
