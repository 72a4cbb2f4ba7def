"""Rate limits shared by several workers through a real Redis, on a clock that jumps."""

import random

import pytest
import redis

from .. import redis_server
from ..engine.simulation import Concurrency, FixedWindow, TokenBucket, Unlimited
from .simulated_workers import SlidingWindow, Workers

pytestmark = pytest.mark.skipif(redis_server.program() is None, reason="Redis is not installed")

MANY = 10**6
COUNTS = pytest.mark.parametrize("count", [1, 2, 4, 8])
SPAN_S = 240.0
FIRST_S = 10.0
LIMITS = {
    "6,000 a minute": (lambda: TokenBucket(100, 100), 100.0, 100.0),
    "600 a minute": (lambda: TokenBucket(10, 10), 10.0, SPAN_S),
    "600 a minute, ten seconds' worth at once": (lambda: TokenBucket(10, 100), 10.0, SPAN_S),
    "60,000 tokens a minute": (lambda: TokenBucket(1000, 1000, "tokens"), 12.5, SPAN_S),
    "20 at once": (lambda: Concurrency(20), 40.0, SPAN_S),
}


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("retry_after", [False, True], ids=["unsaid", "retry-after"])
@pytest.mark.parametrize("name", LIMITS)
def test_an_unknown_limit_is_found_and_kept_by_all_workers(name, retry_after, count):
    make, rate, span_s = LIMITS[name]
    workers = Workers(make(), count, retry_after=retry_after)
    early, early_refused = workers.run(FIRST_S)
    admitted, refused = workers.run(span_s - FIRST_S)
    assert admitted >= 0.93 * rate * (span_s - FIRST_S)
    assert refused + early_refused <= 0.03 * (admitted + early + refused + early_refused)


def test_eight_workers_of_little_more_than_a_call_a_second_each():
    workers = Workers(TokenBucket(10, 10), 8)
    admitted, refused = workers.run(SPAN_S)
    assert admitted >= 0.93 * 10 * SPAN_S
    assert refused <= 0.03 * (admitted + refused)


@pytest.mark.parametrize("count", [1, 4])
def test_a_window_that_closes_is_asked_by_one_worker_until_it_opens(count):
    workers = Workers(FixedWindow(600, 60), count)
    admitted, refused = workers.run(240)
    assert admitted >= 0.98 * 4 * 600
    # what is in flight in all workers when it closes, and one by one until it opens
    assert refused <= (0.03 if count == 1 else 0.04) * (admitted + refused)


@pytest.mark.parametrize("stray", [0.02, 0.05])
def test_stray_refusals_slow_no_worker_down(stray):
    workers = Workers(Unlimited(MANY), 4, latency=(0.3, 0.4), stray=stray, concurrency=200)
    workers.run(6)
    admitted, refused = workers.run(15)
    assert refused >= 0.5 * stray * admitted
    assert admitted >= 0.95 * 200 / 0.35 * 15


def test_stray_refusals_do_not_hide_a_limit():
    admitted = refused = 0
    for seed in range(1, 7):  # one run may be unlucky
        workers = Workers(TokenBucket(10, 20), 4, stray=0.02)
        workers.rng = random.Random(seed)
        workers.run(FIRST_S)
        more, worse = workers.run(120)
        admitted, refused = admitted + more, refused + worse
    assert admitted >= 0.93 * 10 * 120 * 6
    assert refused <= 0.06 * (admitted + refused)


@pytest.mark.parametrize("seed", [3, 10])
def test_a_width_that_is_one_too_large_is_found_out(seed):
    """The workers count their calls a little later than the provider does."""
    workers = Workers(Concurrency(20), 4)
    workers.rng = random.Random(seed)
    workers.run(FIRST_S)
    admitted, refused = workers.run(60)
    assert refused <= 0.02 * (admitted + refused)
    assert admitted >= 0.97 * 40 * 60


def test_one_call_at_a_time_is_shared_by_four_workers():
    workers = Workers(Concurrency(1), 4)
    admitted, refused = workers.run(120)
    assert admitted >= 0.75 * 2 * 120
    assert refused <= 0.12 * (admitted + refused)


def test_few_calls_a_minute_are_made_as_they_become_possible():
    workers = Workers(SlidingWindow(3, 60), 4, latency=(0.3, 0.4))
    admitted, refused = workers.run(60 * 3 + 20)
    assert admitted >= 12
    assert refused <= 2 * admitted


def test_a_limit_that_halves_and_doubles_is_followed_by_all():
    bucket = TokenBucket(10, 10)
    workers = Workers(bucket, 4)
    workers.run(FIRST_S)
    admitted = refused = 0
    for rate, seconds in ((10, 110), (5, 120), (10, 120)):
        bucket.rate = rate
        more, worse = workers.run(seconds)
        admitted, refused = admitted + more, refused + worse
    assert admitted >= 0.93 * (1100 + 600 + 1200)
    assert refused <= 0.03 * (admitted + refused)


def test_more_calls_than_help_are_not_sent_by_all_together_either():
    workers = Workers(Unlimited(50), 4)
    workers.run(60)
    widest = 0
    for _ in range(60):
        workers.run(1)
        widest = max(widest, workers.in_flight)
    assert widest <= 250


@COUNTS
def test_a_ceiling_is_used_in_full_and_never_passed(count):
    workers = Workers(Concurrency(MANY), count, concurrency=20)
    workers.run(5)
    admitted, _ = workers.run(60)
    assert workers.most_in_flight == 20
    assert admitted >= 0.97 * 60 * 20 / 0.5
    counts = [worker.admitted for worker in workers.workers]
    assert max(counts) <= 1.3 * min(counts)


@COUNTS
@pytest.mark.parametrize(
    ("ceiling", "rate"), [({"rpm": 600}, 10.0), ({"tpm": 60_000}, 12.5)], ids=["rpm", "tpm"]
)
def test_ceilings_per_minute_are_used_in_full_and_never_passed(ceiling, rate, count):
    workers = Workers(Concurrency(MANY), count, concurrency=100, **ceiling)
    workers.run(5)
    by_second = [workers.run(1)[0] for _ in range(120)]
    assert sum(by_second) >= 0.97 * rate * 120
    worst = max(sum(by_second[at : at + 60]) for at in range(60))
    assert worst <= 1.02 * 60 * rate
    assert max(by_second) <= 2 * rate


@pytest.mark.parametrize("count", [1, 2, 4])
def test_half_a_command_for_a_request_is_enough(count):
    workers = Workers(TokenBucket(10, 10), count)
    admitted, refused = workers.run(240)
    assert workers.commands <= 0.5 * (admitted + refused)


def test_a_worker_with_nothing_to_do_costs_nothing():
    workers = Workers(Concurrency(MANY), 2, concurrency=20)
    for worker in workers.workers:
        worker.wants = 0
    workers.run(10)
    before = workers.commands
    workers.run(60)
    assert workers.commands == before


def test_a_share_that_is_not_used_goes_to_those_who_use_it_and_comes_back():
    workers = Workers(Concurrency(MANY), 2, concurrency=20)
    first, second = workers.workers
    second.wants = 0
    workers.run(8)
    assert first.governor.in_flight == 20
    second.wants = None
    workers.run(2)
    assert (first.governor.in_flight, second.governor.in_flight) == (10, 10)
    first.wants = 2
    workers.run(4)
    assert second.governor.in_flight >= 16
    assert workers.most_in_flight == 20


def test_the_share_of_a_worker_that_died_goes_to_the_others():
    workers = Workers(Concurrency(MANY), 4, concurrency=20)
    workers.run(6)
    workers.workers[2].die()
    workers.run(2)
    assert workers.in_flight == 15
    workers.run(6)
    assert workers.in_flight == workers.most_in_flight == 20


def test_the_one_that_learns_dies_and_another_goes_on_with_what_is_known():
    workers = Workers(TokenBucket(10, 10), 4)
    workers.run(60)
    workers.workers[0].die()
    workers.run(6)
    admitted, refused = workers.run(120)
    assert admitted >= 0.93 * 1200
    assert refused <= 0.03 * (admitted + refused)


def test_a_ceiling_smaller_than_the_number_of_workers_goes_round():
    workers = Workers(Concurrency(MANY), 4, concurrency=2)
    workers.run(90)
    assert workers.most_in_flight == 2
    assert all(worker.admitted > 0 for worker in workers.workers)


def test_an_edited_ceiling_holds_for_all():
    workers = Workers(Concurrency(MANY), 4, concurrency=20)
    workers.run(6)
    for worker in workers.workers:
        worker.governor.update(8, None, None)
    workers.run(3)
    workers.most_in_flight = 0
    workers.run(10)
    assert workers.most_in_flight == 8


def test_a_refusal_cools_all_workers():
    workers = Workers(FixedWindow(10, 60), 4, retry_after=True, concurrency=20)
    workers.run(5)
    assert all(worker.governor.cooldown_left_s() > 30 for worker in workers.workers)
    assert all(worker.governor.state().reason for worker in workers.workers)


def test_no_limit_is_exceeded_when_redis_is_emptied_and_a_worker_joins():
    workers = Workers(Concurrency(MANY), 4, concurrency=20)
    workers.run(6)
    with redis.Redis.from_url(workers.url) as client:
        for _ in range(3):
            client.flushdb()
            newcomer = workers.join()
            admitted, _ = workers.run(8)
            assert admitted >= 0.8 * 8 * 40
            assert newcomer.admitted > 0
    assert workers.most_in_flight == 20


def test_what_was_learned_outlives_an_emptied_redis():
    workers = Workers(TokenBucket(10, 10), 4)
    workers.run(60)
    with redis.Redis.from_url(workers.url) as client:
        client.flushdb()
    newcomer = workers.join()
    admitted, refused = workers.run(60)
    assert newcomer.governor.state().rpm_learned == pytest.approx(600, rel=0.5)
    assert admitted >= 0.93 * 600
    assert refused <= 0.03 * 600
