"""What a call costs by service tier, length, hour and batch: against a plain calculation, and for the cases
in which a wrong reading of a rule is likely."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simple_batch.core import price_rules, public_holidays
from simple_batch.core.call_prices import NANO, Prices, Usage
from simple_batch.core.domain import BATCH_TIER
from simple_batch.core.errors import InvalidInput
from simple_batch.core.price_rules import PriceRules, from_json, from_mapping
from simple_batch.services import price_texts, prices

DEEPSEEK = {
    "windows": [{"hours": "Mon-Fri 09:00-12:00, 14:00-18:00", "factor": "1"}],
    **{"otherwise": "0.5", "zone": "Asia/Shanghai", "holidays": "CN"},
}


def ms(*moment: int) -> int:
    return round(datetime(*moment, tzinfo=UTC).timestamp() * 1000)


def priced(**rules) -> Prices:
    """2 units for a million tokens of input, 10 for output."""
    return Prices(input=2 * NANO, output=10 * NANO, rules=from_mapping(rules))


amounts = st.decimals(0, 100, places=3)
factors = st.decimals(0, 5, places=2)
optional_nano = st.none() | st.integers(0, 100 * NANO)
tiers = st.dictionaries(
    st.sampled_from(["flex", "priority", "default"]),
    st.fixed_dictionaries({"input": factors, "output": factors})
    | st.fixed_dictionaries({"input": factors, "output": factors, "cached_input": factors})
    | st.fixed_dictionaries(
        {
            "prices": st.fixed_dictionaries(
                {"input": amounts, "output": amounts, "reasoning": amounts}
            )
        }
    ),
)
steps = st.lists(st.integers(0, 2_000), max_size=3, unique=True).flatmap(
    lambda above: st.tuples(
        *(
            st.fixed_dictionaries({"above": st.just(each), "input": factors, "output": factors})
            for each in sorted(above)
        )
    )
)
usages = st.builds(
    lambda fresh, cached, minutes, hour, text, thought: Usage(
        fresh + cached + minutes + hour, text + thought, cached, thought, minutes + hour, hour
    ),
    *[st.integers(0, 1_000)] * 6,
)


def plain_cost(base: dict, rules: dict, usage: Usage, tier: str | None, hour: int) -> int | None:
    """What docs/money.md says, step by step. ``hour`` is the one (UTC) at which the call ended."""
    rate = rules["tiers"].get(tier) if tier is not None else None
    if rate is None and tier not in (None, "default", "standard"):
        if tier != "batch" or rules["batch"] is None:
            return None
        rate = {"input": rules["batch"], "output": rules["batch"]}
    rate = rate or {"input": 1, "output": 1}
    if "prices" in rate:
        base = {name: int(price * NANO) for name, price in rate["prices"].items()}
        rate = {"input": 1, "output": 1}
    if base.get("input") is None or base.get("output") is None:
        return None
    into, out = Fraction(rate["input"]), Fraction(rate["output"])
    read = Fraction(rate.get("cached_input", rate["input"]))
    for step in rules["long_context"]:  # the last that is exceeded
        if usage.input > step["above"]:
            long = step
    if any(usage.input > step["above"] for step in rules["long_context"]):
        into, out = into * Fraction(long["input"]), out * Fraction(long["output"])
        read *= Fraction(long["input"])
    window = rules["hours"]["windows"][0]
    by_hour = Fraction(window["factor"] if 8 <= hour < 20 else rules["hours"]["otherwise"])

    def price(name: str, instead: str) -> int:
        return base[instead] if base.get(name) is None else base[name]

    for_an_hour = price("cache_write", "input")
    if rules["cache_write_1h"] is not None:
        for_an_hour = Fraction(rules["cache_write_1h"]) * base["input"]
    amount = by_hour * (
        into * (usage.input - usage.cached - usage.cache_write) * base["input"]
        + read * usage.cached * price("cached_input", "input")
        + into * (usage.cache_write - usage.cache_write_1h) * price("cache_write", "input")
        + into * usage.cache_write_1h * for_an_hour
        + out * (usage.output - usage.reasoning) * base["output"]
        + out * usage.reasoning * price("reasoning", "output")
    )
    return int(amount / 1_000_000 + Fraction(1, 2))


@settings(max_examples=60)
@given(
    base=st.fixed_dictionaries(
        dict.fromkeys(
            ("input", "cached_input", "output", "reasoning", "cache_write"), optional_nano
        )
    ),
    rules=st.fixed_dictionaries(
        {
            "tiers": tiers,
            "batch": st.none() | factors,
            "cache_write_1h": st.none() | factors,
            "long_context": steps,
            "hours": st.fixed_dictionaries(
                {
                    "windows": st.tuples(
                        st.fixed_dictionaries({"hours": st.just("08:00-20:00"), "factor": factors})
                    ),
                    "otherwise": factors,
                }
            ),
        }
    ),
    usage=usages,
    tier=st.sampled_from([None, "default", "standard", "flex", "priority", "batch", "other"]),
    hour=st.integers(0, 23),
)
def test_every_cost_is_that_of_a_plain_calculation(base, rules, usage, tier, hour):
    made = Prices(**base, rules=from_mapping(rules))
    at = ms(2026, 11, 25, hour, 30)
    cost = made.cost_of(usage, at, tier)
    assert cost == plain_cost(base, rules, usage, tier, hour)
    assert made.cost_of(None, at, tier) is None
    stored = Prices(**base, rules=from_json(made.rules.to_json()))
    assert stored.cost_of(usage, at, tier) == cost
    if cost is None:
        return
    assert isinstance(cost, int)
    assert cost >= 0
    # a sum of calls is the sum of their costs: whole billionths, nothing is lost on the way
    assert sum([cost] * 1_000) == 1_000 * cost
    dearest = made.dearest(usage, tier)
    assert dearest is None or dearest >= cost >= (made.cheapest(usage, tier) or 0)
    saved = made.saved(usage, at, tier)
    uncached = made.cost(msgspec.structs.replace(usage, cached=0, cache_write=0, cache_write_1h=0))
    assert 0 in (saved.tier, saved.batch)
    assert min(saved.tier, saved.batch, saved.hours) >= 0
    dearer_tier = saved.tier + saved.batch == 0
    if uncached is not None and not dearer_tier:
        assert cost + sum(saved) == uncached


def test_gpt6_above_its_step_costs_more_for_the_whole_request():
    made = priced(long_context=[{"above": 272_000, "input": "2", "output": "1.5"}])
    at = ms(2026, 11, 27)
    assert made.cost_of(Usage(272_000, 1_000), at) == 554_000_000  # 0.544 + 0.01
    assert made.cost_of(Usage(272_001, 1_000), at) == 1_103_004_000  # 1.088004 + 0.015
    # the input that counts includes what came from a cache
    assert made.cost_of(Usage(272_001, 1_000, 272_001), at) == 1_103_004_000
    # a sum of calls is no long request
    assert made.cost_of(Usage(544_000, 2_000), at, longest=272_000) == 1_108_000_000


@pytest.mark.parametrize(
    ("moment", "share"),
    [
        ((2026, 11, 27, 0, 59), 0.5),  # a Friday, 08:59 in Beijing
        ((2026, 11, 27, 1, 0), 1),
        ((2026, 11, 27, 3, 59), 1),
        ((2026, 11, 27, 4, 0), 0.5),
        ((2026, 11, 27, 6, 0), 1),
        ((2026, 11, 27, 10, 0), 0.5),
        ((2026, 11, 28, 2, 0), 0.5),  # Saturday
        ((2026, 10, 1, 2, 0), 0.5),  # National Day, a Thursday
        ((2026, 10, 7, 2, 0), 0.5),  # a day off in exchange for Saturday the 10th
        ((2026, 10, 10, 2, 0), 0.5),  # which is worked, and still no Monday to Friday
        ((2026, 2, 23, 2, 0), 0.5),  # Spring Festival, in exchange
        ((2026, 2, 24, 2, 0), 1),
    ],
)
def test_deepseek_costs_half_outside_its_peak_hours(moment, share):
    made = priced(hours=DEEPSEEK)
    usage = Usage(1_000_000, 0)
    assert made.cost_of(usage, ms(*moment)) == share * 2 * NANO
    assert made.cost(usage) == made.dearest(usage, None) == 2 * NANO
    assert made.cheapest(usage, None) == NANO


def test_the_hour_is_that_of_the_end_unless_the_rules_say_the_start():
    began, ended = ms(2026, 11, 27, 3, 59, 50), ms(2026, 11, 27, 4, 0, 10)
    usage = Usage(1_000_000, 0)
    assert priced(hours=DEEPSEEK).cost_of(usage, ended, None, began) == NANO
    by_start = priced(hours={**DEEPSEEK, "at": "start"})
    assert by_start.cost_of(usage, ended, None, began) == 2 * NANO


def test_hours_over_midnight_and_when_the_clock_is_put_back():
    hours = {
        "windows": [{"hours": "Sat 23:00-03:00", "factor": "0.25"}],
        "zone": "Europe/Berlin",
    }
    made, usage = priced(hours=hours), Usage(1_000_000, 0)
    # in the night to Sunday 2026-10-25 the hour from 02:00 to 03:00 comes twice
    for hour, share in ((20, 1), (21, 0.25), (24, 0.25), (25, 0.25), (26, 1)):
        at = ms(2026, 10, 24) + round(timedelta(hours=hour, minutes=30).total_seconds() * 1000)
        assert made.cost_of(usage, at) == share * 2 * NANO, hour


def test_a_holiday_is_one_by_the_date_in_the_zone_of_the_rules():
    assert public_holidays.is_holiday("CN", "Asia/Shanghai", ms(2026, 9, 30, 16, 0))
    assert not public_holidays.is_holiday("CN", "UTC", ms(2026, 9, 30, 16, 0))
    made = priced(hours={**DEEPSEEK, "on_holidays": "3"})
    assert made.cost_of(Usage(1_000_000, 0), ms(2026, 10, 1, 2)) == 6 * NANO


def test_the_tier_is_that_of_the_answer_and_an_unknown_one_has_no_price():
    made = priced(tiers={"flex": {"input": "0.5", "output": "0.5"}}, batch="0.4")
    usage, at = Usage(1_000_000, 0), ms(2026, 11, 27)
    known = {None: 2, "default": 2, "standard": 2, "auto": 2, "on_demand": 2, "flex": 1, "FLEX": 1}
    for tier, units in known.items():
        assert made.cost_of(usage, at, tier) == units * NANO, tier
    assert made.cost_of(usage, at, "batch") == 800_000_000
    assert made.cost_of(usage, at, "ultrafast") is None
    assert Prices(input=1, output=1).cost_of(usage, at, "flex") is None
    assert made.dearest(usage, "flex") == 2 * NANO
    assert made.saved(usage, at, "flex").tier == NANO


def test_a_request_in_a_batch_has_the_batch_price_or_none_that_is_known():
    """``tiers.batch`` says what one factor cannot: Gemini's cached input costs the same in a batch."""
    usage, at = Usage(1_000_000, 0, 500_000), ms(2026, 11, 27)
    half = priced(batch="0.5")
    assert half.cost_of(usage, at, BATCH_TIER) == NANO
    assert half.saved(usage, at, BATCH_TIER).batch == NANO
    assert half.dearest(usage, BATCH_TIER) == NANO
    assert priced().cost_of(usage, at, BATCH_TIER) is None
    assert priced().saved(usage, at, BATCH_TIER) == (0, 0, 0, 0)
    kept = {"batch": {"input": "0.5", "output": "0.5", "cached_input": "1"}}
    assert priced(tiers=kept).cost_of(usage, at, BATCH_TIER) == 1_500_000_000
    assert priced(tiers=kept).rules.with_batch(Decimal("0.2")).tier(BATCH_TIER).input == Decimal(
        "0.2"
    )
    with pytest.raises(InvalidInput, match=r"tiers\.batch"):
        from_json('{"batch": "0.5", "tiers": {"batch": {"input": "0.5"}}}')


def test_a_cache_write_for_an_hour_costs_twice_the_input():
    """Claude Opus 5.5: 4 for input, 5 and 8 for writes (platform.claude.com/docs/en/about-claude/pricing)."""
    base = Prices(input=4 * NANO, output=20 * NANO, cache_write=5 * NANO)
    made = msgspec.structs.replace(
        base, rules=from_mapping({"cache_write_1h": "2", "batch": "0.5"})
    )
    usage, at = Usage(1_000_000, 0, 0, 0, 1_000_000, 400_000), ms(2026, 11, 27)
    assert made.cost_of(usage, at) == 6_200_000_000  # 0.6 × 5 + 0.4 × 8
    assert made.cost_of(usage, at, BATCH_TIER) == 3_100_000_000
    assert base.cost_of(usage, at) == 5 * NANO
    assert made.saved(usage, at).cache == -2_200_000_000


def test_writing_to_a_cache_saves_less_than_nothing():
    made = Prices(input=4 * NANO, output=0, cached_input=NANO, cache_write=5 * NANO)
    at = ms(2026, 11, 27)
    assert made.saved(Usage(1_000_000, 0, 0, 0, 1_000_000), at).cache == -NANO
    assert made.saved(Usage(1_000_000, 0, 1_000_000), at).cache == 3 * NANO


@pytest.mark.parametrize(
    "rules",
    [
        '{"tiers": {"flex": {"input": "-1"}}}',
        '{"tiers": {"flex": {"factor": "0.5"}}}',
        '{"batch": "NaN"}',
        '{"cache_write_1h": "-1"}',
        '{"hours": {"windows": [{"hours": "sometimes", "factor": "1"}]}}',
        '{"hours": {"windows": [{"hours": "", "factor": "1"}]}}',
        '{"hours": {"windows": [], "zone": "UTC", "holidays": "Atlantis"}}',
        '{"long_context": [{"above": 2, "input": "2"}, {"above": 1}]}',
        '{"tiers": {"flex": {"prices": {"input": "1", "output": "1"}}},'
        ' "long_context": [{"above": 1, "prices": {"input": "1", "output": "1"}}]}',
        "[]",
        "{",
    ],
)
def test_rules_that_cannot_be_kept_are_refused(rules):
    with pytest.raises(InvalidInput) as wrong:
        from_json(rules)
    assert wrong.value.field == "price_rules"


def test_no_rules_say_and_change_nothing():
    assert not PriceRules()
    assert price_texts.rules_in_words(from_json("{}")) == []
    assert PriceRules(batch=Decimal("0.5"))


def test_rules_that_ship_can_be_said_and_stored(db):
    for entry in prices.table():
        rules = entry.rules
        assert rules.date == entry.date
        assert price_rules.from_json(rules.to_json()) == rules
        assert len(price_texts.rules_in_words(rules)) >= bool(rules)
    found = prices.known("https://api.deepseek.com/v1", "deepseek-flash", "USD")
    made = Prices(input=300_000_000, output=1_200_000_000, rules=found.rules)
    assert made.cost_of(Usage(1_000_000, 0), ms(2026, 11, 28)) == 150_000_000


def test_holidays_are_known_for_this_year_and_the_next():
    for year in (2026, 2027):
        assert date(year, 10, 1) in public_holidays._holidays("CN", year)
