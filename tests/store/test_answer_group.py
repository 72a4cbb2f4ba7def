"""Answers that are written together are counted as if each had been written alone."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from simple_batch.core.call_prices import CallPrices, Prices, Usage
from simple_batch.core.clock import now_ms
from simple_batch.core.domain import BATCH_TIER, BatchAnswer, Outcome
from simple_batch.core.price_rules import HourFactor, HourRates, LongContext, PriceRules, Rate
from simple_batch.store import results
from simple_batch.store.answer_group import AnswerGroup
from simple_batch.store.models import Attempt as AttemptRow
from simple_batch.store.models import (
    BatchLine,
    BatchPart,
    ErrorGroup,
    Job,
    Result,
    Spending,
    Timeline,
    database,
)

from .test_results import REQUESTS, new_job

T = 1_790_000_000_000
_HALF = Decimal("0.5")
_HOURS = HourRates((HourFactor("00:00-12:00", Decimal("0.3")),), zone="UTC", at="start")
_LONG = (LongContext(above=50, input=Decimal(2)),)
PRICES = (
    Prices(),
    Prices("USD", input=1_000_000_007, output=2_000_000_003),
    Prices("USD", 3, 1, 5, 7, 11, PriceRules(batch=_HALF)),
    Prices("EUR", 999_999_999, 3, 5_000, rules=PriceRules(batch=_HALF, hours=_HOURS)),
    Prices("USD", 999_999_999, 3, 5_000, rules=PriceRules(batch=_HALF, long_context=_LONG)),
    Prices("USD", 900, 3, 5_000, rules=PriceRules(tiers={BATCH_TIER: Rate(_HALF, _HALF)})),
    Prices("USD", 900, 3, 5_000, rules=PriceRules(cache_write_1h=Decimal(2))),
)
counts = st.integers(0, 40)


@st.composite
def usages(draw):
    cached, written, long, thought = draw(counts), draw(counts), draw(counts), draw(counts)
    written = max(written, long)
    return Usage(
        cached + written + draw(counts), thought + draw(counts), cached, thought, written, long
    )


plain_usages = st.builds(Usage, st.integers(0, 90_000), st.integers(0, 90_000))
outcomes = st.sampled_from([Outcome.OK, Outcome.EMPTY, Outcome.TOOL_CALL, None])


@given(prices=st.sampled_from(PRICES), found=st.lists(usages() | plain_usages, max_size=5))
def test_many_calls_cost_and_save_what_each_does(prices, found):
    together = CallPrices(prices, T + 9, BATCH_TIER, T)
    costs = together.costs(found)
    assert costs == [prices.cost_of(usage, T + 9, BATCH_TIER, T) for usage in found]
    each = [prices.saved(usage, T + 9, BATCH_TIER, T) for usage in found]
    saved = together.saved(costs, found)
    for number, by in enumerate(("cache", "tier", "hours", "batch")):
        amounts = [one[number] for one in each]
        expected = sum(amount > 0 for amount in amounts), sum(amounts)
        assert saved.get(by, (0, 0)) == expected


@pytest.fixture
def one_by_one(monkeypatch):
    """Write a group as its records."""

    def write(group):
        results.write(group.records())

    return write


@hypothesis_settings(max_examples=40)
@given(data=st.data())
def test_a_group_is_counted_like_its_records(data, db, one_by_one):
    answers = [
        (
            index,
            data.draw(st.sampled_from([0, 0, 2])),
            BatchAnswer(
                b'{"n":%d}' % index,
                200,
                data.draw(usages() | plain_usages),
                data.draw(st.sampled_from(["m", None])),
                data.draw(outcomes),
                "stop",
            ),
        )
        for index in data.draw(st.lists(st.integers(0, REQUESTS - 1), unique=True))
    ]
    absent = data.draw(st.sets(st.integers(0, REQUESTS - 1), max_size=3))
    ended = data.draw(st.sets(st.integers(0, REQUESTS - 1), max_size=3))
    prices, foreign = data.draw(st.sampled_from(PRICES)), data.draw(st.booleans())
    found = []
    for write in (one_by_one, lambda group: results.write([group])):
        Spending.delete().execute()
        job_id = new_job()
        part_id = _part(job_id, absent, ended)
        config_id = Job.get_by_id(job_id).config_id
        write(
            AnswerGroup(
                job_id, "a", prices, part_id, config_id, foreign, T, T + 9, T + 20, list(answers)
            )
        )
        found.append(_rows(job_id))
    assert found[0] == found[1]


def _part(job_id: int, absent: set[int], ended: set[int]) -> int:
    """A part with all requests of a job but those ``absent``; of these some have ``ended`` otherwise."""
    now = now_ms()
    part = BatchPart.create(
        job=job_id,
        config=Job.get_by_id(job_id).config_id,
        url="/v1/chat/completions",
        model="m",
        marker=f"m{job_id}",
        state="ended",
        requests=REQUESTS,
        bytes=0,
        tokens=0,
        created_at=now,
    )
    with database.atomic():
        for index in set(range(REQUESTS)) - absent:
            BatchLine.create(job=job_id, idx=index, part=part.id)
        for index in ended:
            Result.insert(
                job=job_id, idx=index, status="cancelled", config="a", attempts=0, finished_at=now
            ).execute()
        AttemptRow.create(
            job=job_id,
            idx=1,
            number=1,
            started_at=T,
            latency_ms=1,
            cause="timeout",
            message="",
            group_key="g",
        )
        ErrorGroup.create(
            job=job_id,
            group_key="g",
            cause="timeout",
            message="",
            attempts=1,
            first_at=1,
            last_at=1,
        )
    return part.id


def _rows(job_id: int) -> list[dict]:
    """All that a commit changes."""
    rows = []
    for model in (Result, Timeline, BatchPart, BatchLine, ErrorGroup):
        rows.extend(model.select().where(model.job == job_id).dicts())
    rows.extend(Job.select().where(Job.id == job_id).dicts())
    rows.extend(Spending.select().dicts())
    differ = {"id", "job", "part", "config", "marker", "created_at", "finished_at"}
    return sorted(
        [
            {
                name: bytes(value) if isinstance(value, memoryview) else value
                for name, value in row.items()
                if name not in differ
            }
            for row in rows
        ],
        key=repr,
    )
