"""Spend caps: exceeded at most by the calls in flight, kept over restarts, raised, and
continued."""

import itertools
import json
import random
from decimal import Decimal

import gevent
import msgspec
import pytest

from simple_batch.core import clock, time_windows
from simple_batch.core.call_prices import NANO
from simple_batch.core.errors import Conflict, InvalidInput
from simple_batch.runner import spend_caps
from simple_batch.services import configs, job_creation, job_options, jobs
from simple_batch.store import spending
from simple_batch.store.database import connected
from simple_batch.store.models import ApiConfig, JobEvent, Spending

from .. import endpoint as e
from ..conftest import wait_until
from ..endpoint import MisbehavingEndpoint
from ..process import flask, served

# prices of a million per million tokens: a token costs one unit
PRICED = {"input_price": Decimal(1_000_000), "output_price": Decimal(1_000_000)}


def answer(tokens_in: int, tokens_out: int, cached: int = 0) -> bytes:
    usage = {
        "prompt_tokens": tokens_in,
        "completion_tokens": tokens_out,
        "prompt_tokens_details": {"cached_tokens": cached},
    }
    return e.http(200, {**e.GOOD, "usage": usage})


def later(seconds: float, data: bytes):
    def behave(connection):
        gevent.sleep(seconds)
        connection.sendall(data)

    return behave


class PricedEndpoint(MisbehavingEndpoint):
    """Answers cost from 1 to ``dearest`` units and take up to 30 ms. ``charged`` is their total
    cost; every ``failing``-th is charged but unusable."""

    def __init__(self, dearest: int, failing: int = 0):
        self.dearest, self.charged, self.failing = dearest, 0, failing
        self._random = random.Random(dearest)
        super().__init__(b"")

    def _next(self, head, body):
        super()._next(head, body)
        cost = self._random.randint(1, self.dearest)
        self.charged += cost
        data = answer(0, cost)
        if self.failing and self.calls % self.failing == 0:
            usage = {"prompt_tokens": 0, "completion_tokens": cost}
            data = e.http(200, {"choices": [], "usage": usage})
        return later(self._random.uniform(0, 0.03), data)


def raise_cap(job_id: int, cap: int | None) -> None:
    with connected():
        new = job_options.of(jobs.get(job_id))
        new.spend_cap = None if cap is None else Decimal(cap)
        jobs.edit(job_id, new)


def edit_config(**changes) -> None:
    with connected():
        config = configs.get("test")
        configs.update(config.id, msgspec.structs.replace(configs.fields_of(config), **changes))


def spent(job_id: int) -> int:
    """Units."""
    with connected():
        return jobs.get(job_id).cost_nano // NANO


@pytest.mark.parametrize(
    ("concurrency", "cap", "failing"),
    [(1, 50, 0), (4, 50, 3), (20, 200, 0), (20, 200, 4), (60, 7, 0), (60, 1000, 5), (None, 300, 4)],
)
def test_a_cap_is_overshot_by_what_was_in_flight_at_most(
    start, add_config, make_job, wait_for, concurrency, cap, failing
):
    with PricedEndpoint(dearest=9, failing=failing) as endpoint:
        add_config(endpoint.base_url, concurrency=concurrency, **PRICED)
        job_id = make_job(2_000, spend_cap=Decimal(cap))
        job = wait_for(job_id, "paused")
        assert (job.status_reason, job.capped_by) == ("spend_cap", None)
        assert f"spend cap of {cap}.00 USD" in job.status_detail
        assert "Settings" in job.status_detail
        in_flight = endpoint.most_in_flight
        assert cap <= spent(job_id) < cap + in_flight * endpoint.dearest
        assert spent(job_id) == endpoint.charged  # failed attempts that were charged count too
        gevent.sleep(0.5)
        assert (endpoint.charged, endpoint.in_flight) == (spent(job_id), 0)
        with connected():
            with pytest.raises(Conflict, match="spend cap"):
                jobs.resume(job_id)
            config = ApiConfig.get()
            assert spending.since(config.id, "USD", 0) == (endpoint.charged * NANO, 0)


def test_once_a_cost_is_known_fewer_calls_run_near_the_cap(start, add_config, make_job, wait_for):
    with MisbehavingEndpoint(later(0.02, answer(1, 4))) as endpoint:
        add_config(endpoint.base_url, concurrency=8, **PRICED)
        job_id = make_job(500, spend_cap=Decimal(501))
        wait_for(job_id, "paused")
        assert 501 <= spent(job_id) <= 505


def test_raising_the_cap_lets_the_job_go_on_by_itself(start, add_config, make_job, wait_for):
    with MisbehavingEndpoint(later(0.005, answer(1, 4))) as endpoint:
        add_config(endpoint.base_url, concurrency=4, **PRICED)
        job_id = make_job(60, spend_cap=Decimal(100))
        wait_for(job_id, "paused")
        raise_cap(job_id, 200)
        job = wait_until(lambda: (j := wait_for(job_id, "paused")).cost_nano >= 200 * NANO and j)
        assert "200.00 USD" in job.status_detail
        raise_cap(job_id, None)
        assert wait_for(job_id, "completed").succeeded == 60
        assert endpoint.calls == 60
        with connected():
            edited = JobEvent.select().where(JobEvent.reason == "edited").order_by(JobEvent.id)
            output = [event.detail for event in edited]
            assert output == ["spend_cap: 100 → 200", "spend_cap: 200 → None"]


def test_a_cap_may_be_set_and_lowered_while_the_job_runs(start, add_config, make_job, wait_for):
    with MisbehavingEndpoint(later(0.01, answer(1, 4))) as endpoint:
        add_config(endpoint.base_url, concurrency=2, **PRICED)
        job_id = make_job(2_000)
        wait_until(lambda: endpoint.calls > 20)
        raise_cap(job_id, 10)
        job = wait_for(job_id, "paused")
        assert job.status_reason == "spend_cap"
        assert job.succeeded < 1_500


def test_a_job_paused_for_another_reason_stays_paused(start, add_config, make_job, wait_for):
    with MisbehavingEndpoint(later(0.01, answer(1, 4))) as endpoint:
        add_config(endpoint.base_url, concurrency=2, **PRICED)
        job_id = make_job(500, spend_cap=Decimal(1_000))
        wait_until(lambda: endpoint.calls > 5)
        with connected():
            jobs.pause(job_id)
        raise_cap(job_id, 10_000)
        gevent.sleep(0.7)
        with connected():
            assert jobs.get(job_id).status_reason == "user"


@pytest.mark.parametrize("which", ["day_cap", "month_cap"])
def test_the_cap_of_a_config_holds_over_two_jobs(start, add_config, make_job, wait_for, which):
    with PricedEndpoint(dearest=5) as endpoint:
        add_config(endpoint.base_url, concurrency=10, **PRICED, **{which: Decimal(150)})
        made = [make_job(300), make_job(300)]
        for job_id in made:
            job = wait_for(job_id, "paused")
            assert job.status_reason == "spend_cap"
            assert job.capped_by == 1
            assert "150.00 USD" in job.status_detail
            assert "“test”" in job.status_detail
        assert 150 <= endpoint.charged < 150 + 10 * 5
        assert sum(map(spent, made)) == endpoint.charged
        edit_config(**{which: Decimal(10_000)})
        for job_id in made:
            assert wait_for(job_id, "completed").succeeded == 300


def test_with_the_next_day_jobs_go_on(start, add_config, make_job, wait_for, monkeypatch):
    """The clock of the cap moves on by a day."""
    ahead = {"s": 0.0}
    time = spend_caps.time

    class Clock:
        @staticmethod
        def time():
            return time.time() + ahead["s"]

    monkeypatch.setattr(spend_caps, "time", Clock)
    with MisbehavingEndpoint(later(0.005, answer(1, 4))) as endpoint:
        caps = {"day_cap": Decimal(50), "month_cap": Decimal(100_000)}
        add_config(endpoint.base_url, concurrency=2, **PRICED, **caps)
        job_id = make_job(15)
        job = wait_for(job_id, "paused")
        assert "tomorrow (UTC)" in job.status_detail
        gevent.sleep(0.6)
        assert 10 <= endpoint.calls <= 11
        ahead["s"] = 86_400.0
        assert wait_for(job_id, "completed").succeeded == 15


def test_the_sum_outlives_a_kill(instance, questions):
    """A killed server and its successor together keep the cap of the day."""
    with PricedEndpoint(dearest=5, failing=7) as endpoint:
        usual = ("--base-url", endpoint.base_url, "--model", "m", "--concurrency", "6")
        money = ("--input-price", "1000000", "--output-price", "1000000", "--day-cap", "400")
        assert flask(instance, "add-config", "test", *usual, *money).returncode == 0
        made = flask(
            instance,
            "create-job",
            str(questions(3_000)),
            "--config",
            "test",
            "--spend-cap",
            "300",
        )
        assert made.returncode == 0, made.stderr
        server = served(instance)
        wait_until(lambda: endpoint.charged > 150)
        server.kill()
        before, lost = endpoint.charged, endpoint.in_flight
        again = served(instance)
        wait_until(lambda: "spend_cap" in flask(instance, "show-job", "1").stdout)
        unknown = (6 + 50) * 5  # in flight, or received and not yet committed, when it was killed
        assert lost <= 6
        assert before < 300 <= endpoint.charged < 300 + 6 * 5 + unknown
        second = flask(instance, "create-job", str(questions(500)), "--config", "test")
        assert second.returncode == 0
        wait_until(lambda: "daily spend cap" in flask(instance, "resume-job", "2").stderr)
        again.stop()
        assert 400 <= endpoint.charged < 400 + 6 * 5 + unknown


def test_an_answer_that_does_not_tell_its_cost_pauses_a_capped_job(
    start, add_config, wait_for, tmp_path
):
    """A picture: its tokens cannot be estimated."""
    told = e.http(200, {"data": [{"url": "x"}], "usage": {"input_tokens": 1, "output_tokens": 1}})
    silent = e.http(200, {"data": [{"url": "x"}]})
    with MisbehavingEndpoint(told, told, silent, told) as endpoint:
        add_config(endpoint.base_url, concurrency=1, **PRICED)
        lines = [{"url": "/v1/images/generations", "body": {"prompt": "a cat"}}] * 20
        (tmp_path / "cats.jsonl").write_text(
            "".join(
                json.dumps({"custom_id": str(n), "method": "POST", **line}) + "\n"
                for n, line in enumerate(lines)
            )
        )
        with connected():
            new = jobs.JobOptions(config="test", spend_cap=Decimal(100_000))
            path = tmp_path / "cats.jsonl"
            job_id = job_creation.create_now(path, path.name, new).id
        job = wait_for(job_id, "paused")
        assert (job.status_reason, job.succeeded) == ("spend_unknown", 3)
        gevent.sleep(0.5)
        assert endpoint.calls == 3  # it does not continue by itself
        with connected():
            jobs.resume(job_id)
        assert wait_for(job_id, "completed").succeeded == 20


def test_cached_tokens_are_priced_as_such(start, add_config, make_job, wait_for):
    with MisbehavingEndpoint(answer(100, 10, cached=80)) as endpoint:
        prices = {**PRICED, "cached_input_price": Decimal(100_000)}
        add_config(endpoint.base_url, **prices, month_cap=Decimal(1_000))
        job_id = make_job(3)
        wait_for(job_id, "completed")
        assert spent(job_id) == 3 * (20 + 8 + 10)


@pytest.mark.parametrize("prices", [{}, {"input_price": Decimal(1)}, {"output_price": Decimal(1)}])
def test_a_cap_that_could_not_be_counted_is_refused(app, add_config, make_job, prices):
    for which in ("day_cap", "month_cap"):
        with pytest.raises(InvalidInput, match="price") as refused:
            add_config("http://127.0.0.1:9/v1", **prices, **{which: Decimal(1)})
        assert refused.value.field == which
    add_config("http://127.0.0.1:9/v1", **prices)
    with pytest.raises(InvalidInput, match="enter input and output prices") as refused:
        make_job(1, spend_cap=Decimal(1))
    assert refused.value.field == "spend_cap"


@pytest.mark.parametrize("cap", ["0", "-1", "NaN", "Infinity", "1e10"])
def test_what_is_no_cap(app, add_config, make_job, cap):
    add_config("http://127.0.0.1:9/v1", **PRICED)
    with pytest.raises(InvalidInput) as refused:
        make_job(1, spend_cap=Decimal(cap))
    assert refused.value.field == "spend_cap"


def test_a_cap_on_a_job_that_has_spent_the_unknown_is_refused(
    start, add_config, make_job, wait_for, endpoint
):
    add_config(endpoint.base_url)
    job_id = make_job(3)
    wait_for(job_id, "completed")
    edit_config(**PRICED)
    with pytest.raises(InvalidInput, match="is unknown"):
        raise_cap(job_id, 5)


def test_several_currencies_are_never_added_up(start, add_config, make_job, wait_for):
    with MisbehavingEndpoint(answer(1, 4)) as endpoint:
        add_config(endpoint.base_url, **PRICED, month_cap=Decimal(1_000))
        wait_for(make_job(4), "completed")
        edit_config(currency="CNY")
        second = make_job(4)
        wait_for(second, "completed")
        with connected():
            assert jobs.get(second).currency == "CNY"
            rows = Spending.select(Spending.currency, Spending.cost_nano).order_by(Spending.t)
            assert {row.currency: row.cost_nano // NANO for row in rows} == {"USD": 20, "CNY": 20}
            spend_limit = spend_caps.ConfigSpendLimit(ApiConfig.get(), "")
            assert spend_limit.caps["month"].spent == 20 * NANO


def test_what_a_job_costs_in_another_currency_is_known_to_the_config_alone(
    start, add_config, make_job, wait_for
):
    with MisbehavingEndpoint(answer(1, 4)) as endpoint:
        add_config(endpoint.base_url, **PRICED)
        job_id = make_job(4, hold=True)
        edit_config(currency="CNY")
        with connected():
            jobs.resume(job_id)
        job = wait_for(job_id, "completed")
        assert (job.cost_nano, job.unpriced) == (0, 4)
        with connected():
            assert spending.since(1, "CNY", 0) == (20 * NANO, 0)


def test_days_and_months_are_those_of_the_zone():
    moment = 1_767_225_600 - 3_600  # 2025-12-31 23:00 UTC
    utc, shanghai = time_windows.at(moment, ""), time_windows.at(moment, "Asia/Shanghai")
    assert (utc.day, utc.day_ends) == (1_767_225_600 - 86_400, 1_767_225_600)
    assert shanghai.day == shanghai.month == 1_767_225_600 - 8 * 3_600
    for zone in ("Asia/Kathmandu", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"):
        for days in range(0, 400, 7):
            found = time_windows.at(moment + days * 86_400, zone)
            assert found.day % spending.WIDTH_S == found.month % spending.WIDTH_S == 0
            assert found.day <= moment + days * 86_400 < found.day_ends


def test_a_cap_of_yesterday_does_not_count_today(app, add_config):
    config = add_config("http://127.0.0.1:9/v1", **PRICED, day_cap=Decimal(10))
    now = clock.now_ms()
    with connected():
        for ago_days, units in itertools.product((0, 1, 40), (3,)):
            t = spending.bucket(now - ago_days * 86_400_000)
            Spending.create(config=config, currency="USD", t=t, cost_nano=units * NANO)
        spend_limit = spend_caps.ConfigSpendLimit(config, "")
        assert spend_limit.caps["day"].spent == 3 * NANO
        assert spend_limit.reached() is None


def test_rows_tried_meanwhile_count_for_the_config(start, add_config, make_job, wait_for):
    """Another process may try rows: their cost is read from the database while the job runs."""
    with MisbehavingEndpoint(later(0.02, answer(1, 4))) as endpoint:
        config = add_config(endpoint.base_url, concurrency=1, **PRICED, day_cap=Decimal(10_000))
        job_id = make_job(2_000)
        wait_until(lambda: endpoint.calls > 5)
        with connected():
            spending.add_tried(config.id, "USD", 9_990 * NANO, clock.now_ms())
        job = wait_for(job_id, "paused")
        assert job.capped_by == config.id
        assert job.succeeded < 1_500


class TestSeveralConfigs:
    @pytest.fixture
    def two(self, add_config):
        """Two endpoints; the first one's config may spend 60 a day."""
        with PricedEndpoint(dearest=5) as first, PricedEndpoint(dearest=5) as second:
            add_config(first.base_url, "a", concurrency=4, **PRICED, day_cap=Decimal(60))
            add_config(second.base_url, "b", concurrency=4, **PRICED)
            yield first, second

    def test_one_at_its_cap_leaves_the_rest_to_the_other(self, start, two, make_job, wait_for):
        first, second = two
        job_id = make_job(200, config="a", also=(job_options.ExtraConfig("b"),))
        assert wait_for(job_id, "completed").succeeded == 200
        assert 60 <= first.charged < 60 + 4 * 5
        assert first.charged + second.charged == spent(job_id)

    def test_the_cap_of_the_job_holds_over_both(self, start, two, make_job, wait_for):
        first, second = two
        job_id = make_job(
            2_000, config="b", also=(job_options.ExtraConfig("a"),), spend_cap=Decimal(90)
        )
        job = wait_for(job_id, "paused")
        assert (job.status_reason, job.capped_by) == ("spend_cap", None)
        assert 90 <= spent(job_id) < 90 + 8 * 5
        assert first.charged + second.charged == spent(job_id)
        raise_cap(job_id, 120)
        wait_until(lambda: wait_for(job_id, "paused").cost_nano >= 120 * NANO)

    def test_all_must_have_prices(self, app, add_config, two, make_job):
        add_config("http://127.0.0.1:9/v1", "c")
        with pytest.raises(
            InvalidInput, match="enter input and output prices of the connection “c”"
        ):
            make_job(1, config="a", also=(job_options.ExtraConfig("c"),), spend_cap=Decimal(1))
