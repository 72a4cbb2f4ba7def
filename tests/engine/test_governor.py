"""The governor with an injected clock: no waiting, no sockets."""

import random

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simple_batch.core.call_prices import Usage
from simple_batch.core.domain import Cause
from simple_batch.engine.classify import Classification
from simple_batch.engine.governor import Flow, Governor
from simple_batch.engine.rate_limit_headers import LONGEST_S, RateLimits, duration_s, retry_after_s

from . import simulation
from .simulation import Concurrency, FixedWindow, Simulation, TokenBucket, Unlimited

GOOD = Classification(None, None, 200)


class Clock:
    """A clock that the test moves; functions given to ``later`` run when it passes them."""

    def __init__(self):
        self.now = 1000.0
        self.calls = []

    def __call__(self):
        return self.now

    def later(self, seconds, function):
        entry = _Later(self.now + seconds, function)
        self.calls.append(entry)
        return entry

    def advance(self, seconds):
        end = self.now + seconds
        while True:
            due = [call for call in self.calls if call.at <= end and not call.dead]
            if not due:
                break
            first = min(due, key=lambda call: call.at)
            self.now = max(self.now, first.at)
            first.dead = True
            first.function()
        self.now = end
        gevent.sleep(0)


class _Later:
    def __init__(self, at, function):
        self.at, self.function, self.dead = at, function, False

    def kill(self, block=True):
        self.dead = True


@pytest.fixture
def clock():
    return Clock()


def governor(clock, **limits):
    return Governor(clock=clock, later=clock.later, **limits)


ONE = Flow()


def admitted(gov, count, flow=ONE, size=400):
    """Tickets of ``count`` callers that arrive now; the list grows as they are admitted."""
    tickets = []

    def call():
        tickets.append((flow, gov.admit(flow, size)))

    for _ in range(count):
        gevent.spawn(call)
    gevent.sleep(0)
    gevent.sleep(0)
    return tickets


def settle(gov, tickets, finding=GOOD, latency_ms=100):
    for _, ticket in tickets:
        gov.settle(ticket, finding, latency_ms)
    gevent.sleep(0)
    gevent.sleep(0)


def test_a_ceiling_is_used_in_full_and_never_passed(clock):
    gov = governor(clock, concurrency=3)
    tickets = admitted(gov, 5)
    assert len(tickets) == 3
    settle(gov, tickets[:1])
    assert len(tickets) == 4


def test_slow_start_doubles_each_round_while_the_provider_answers(clock):
    gov = governor(clock, start=5)
    for expected in (5, 10, 20, 40):
        tickets = admitted(gov, 100)[:]
        assert gov.limit == expected == len(tickets)
        for flow in list(gov._waiting):
            del gov._waiting[flow]
        clock.advance(1)
        settle(gov, tickets)


def test_a_limit_that_is_not_used_does_not_grow(clock):
    gov = governor(clock, start=5)
    for _ in range(50):
        settle(gov, admitted(gov, 1))
    assert gov.limit == 5


def test_a_burst_of_refusals_is_one_cooldown(clock):
    gov = governor(clock, start=20)
    tickets = admitted(gov, 20)
    clock.advance(0.5)
    settle(gov, tickets, Classification(Cause.RATE_LIMIT, None, 429, retry_after_s=3.0))
    assert gov.cooldown_left_s() == pytest.approx(3.0)
    assert gov.state().reason == "429 rate_limit"
    waiting = admitted(gov, 10)
    clock.advance(2.9)
    assert waiting == []
    clock.advance(0.2)
    assert 1 <= len(waiting) < 10  # staggered
    clock.advance(10)
    assert len(waiting) == 10


SPAN_S = 240.0
LIMITS = {
    "600 a minute, a second's worth at once": (lambda: TokenBucket(10, 10), 10.0),
    "600 a minute, ten seconds' worth at once": (lambda: TokenBucket(10, 100), 10.0),
    "600 in each minute": (lambda: FixedWindow(600, 60), 10.0),
    "6,000 a minute": (lambda: TokenBucket(100, 100), 100.0),
    "60,000 tokens a minute": (lambda: TokenBucket(1000, 1000, "tokens"), 12.5),
    "20 at once": (lambda: Concurrency(20), 40.0),
}


@pytest.mark.parametrize("retry_after", [False, True], ids=["unsaid", "retry-after"])
@pytest.mark.parametrize("name", LIMITS)
def test_an_unknown_limit_is_found_and_kept(name, retry_after):
    make, rate = LIMITS[name]
    simulation = Simulation(make(), retry_after=retry_after)
    early, early_refused = simulation.run(10)
    admitted, refused = simulation.run(SPAN_S - 10)
    closes = name == "600 in each minute"
    allowed = rate * SPAN_S - early if closes else rate * (SPAN_S - 10)
    assert admitted >= 0.95 * allowed
    assert refused + early_refused <= 0.02 * (admitted + early + refused + early_refused)


def sums(make, seeds=range(1, 6), seconds=SPAN_S):
    """Admitted, refused and stray calls of simulations with several seeds, on average."""
    runs = [make() for _ in seeds]
    for run, seed in zip(runs, seeds, strict=True):
        run.rng = random.Random(seed)
        run.run(seconds)
    count = len(runs)
    return tuple(sum(getattr(run, name) for run in runs) / count for name in COUNTED)


COUNTED = ("admitted", "refused", "strays")


def test_an_unknown_limit_refuses_hardly_one_call_in_a_hundred():
    admitted, refused, _ = sums(lambda: Simulation(TokenBucket(10, 20)))
    assert admitted >= 0.97 * 10 * SPAN_S
    assert refused <= 0.008 * (admitted + refused)


def test_a_refusal_in_slow_start_makes_later_calls_wait_for_what_it_means():
    """Otherwise most calls of the width that has just doubled are refused, too."""
    _, refused, _ = sums(lambda: Simulation(TokenBucket(10, 20)), range(20), seconds=2.5)
    assert refused <= 6.5


def test_calls_that_the_first_refusal_held_back_do_not_start_all_at_once():
    refused = 0
    seeds = range(60)
    for seed in seeds:
        run = Simulation(TokenBucket(10, 20), way_s=0.1)
        run.rng, run._ways = random.Random(seed), random.Random(seed + 100)
        refused += run.run(5)[1]
    assert refused <= 9.2 * len(seeds)


def test_a_limit_of_calls_at_a_time_is_used_where_calls_overtake_each_other():
    """Some that start later arrive earlier, and are admitted in place of others."""
    admitted, refused, _ = sums(lambda: Simulation(Concurrency(20), way_s=0.01), range(20))
    assert admitted >= 0.965 * 20 / 0.5 * SPAN_S
    assert refused <= 0.01 * (admitted + refused)


def test_a_short_job_is_refused_one_call_in_fifty():
    """900 requests at 600 a minute."""
    admitted, refused, _ = sums(lambda: Simulation(TokenBucket(10, 20)), seconds=90)
    assert admitted >= 0.97 * 900
    assert refused <= 0.016 * (admitted + refused)


def test_a_rate_that_is_a_little_too_high_is_lowered_soon():
    """Refusals that come at even distances are no chance, however few they are."""
    refused = []
    for seed in range(20):
        run = Simulation(TokenBucket(10, 20), start=10)
        run.rng = random.Random(seed)
        admitted, some = run.run(90)
        assert admitted >= 0.97 * 900
        refused.append(some / (admitted + some))
    assert max(refused) <= 0.034
    assert sum(refused) / len(refused) <= 0.0225


@pytest.mark.parametrize(
    ("stray", "used"), [(0.0, 0.97), (0.005, 0.95), (0.02, 0.92), (0.05, 0.85), (0.1, 0.75)]
)
@pytest.mark.parametrize("wait_s", [None, 0.5])
def test_stray_refusals_cost_no_more_than_their_retries(stray, used, wait_s):
    """An endpoint without a limit; 200 calls in flight of 0.35 s."""
    options = {"latency": (0.3, 0.4), "stray": stray, "stray_wait_s": wait_s, "concurrency": 200}
    admitted, refused, _ = sums(
        lambda: Simulation(Unlimited(10**9), **options), range(1, 4), seconds=20
    )
    assert refused == 0
    assert admitted >= used * 200 / 0.35 * 20


def test_stray_refusals_that_ask_for_a_long_wait_concern_their_own_request():
    options = {"latency": (0.3, 0.4), "stray": 0.005, "stray_wait_s": 30.0, "concurrency": 200}
    admitted, _, _ = sums(lambda: Simulation(Unlimited(10**9), **options), range(1, 4), seconds=60)
    assert admitted >= 0.8 * 200 / 0.35 * 60


def test_a_limit_is_kept_among_stray_refusals():
    """600 a minute, and two calls in a hundred are refused by chance."""
    admitted, refused, strays = sums(lambda: Simulation(TokenBucket(10, 20), stray=0.02))
    assert admitted >= 0.93 * 10 * SPAN_S
    assert refused <= 0.02 * (admitted + refused + strays)


@pytest.mark.parametrize("seed", [36, 39, 49, 59])
def test_refusals_that_come_close_together_by_chance_lower_no_known_limit_for_long(seed):
    """Runs in which more of them than usual do."""
    run = Simulation(TokenBucket(10, 20), stray=0.02)
    run.rng = random.Random(seed)
    early, early_refused = run.run(10)
    admitted, refused = run.run(SPAN_S - 10)
    assert admitted >= 0.9 * 10 * (SPAN_S - 10)
    assert refused + early_refused <= 0.02 * (admitted + early)


@pytest.mark.parametrize("seed", [33, 60, 103, 118, 126, 140])
def test_chance_that_ends_probes_does_not_keep_a_rate_low(seed):
    """Runs in which a refusal by chance ends one probe after the other before the limit is reached."""
    run = Simulation(TokenBucket(10, 20), stray=0.02, way_s=0.1)
    run.rng, run._ways = random.Random(seed), random.Random(seed + 100)
    run.run(10)
    admitted, refused = run.run(SPAN_S - 10)
    assert admitted >= 0.93 * 10 * (SPAN_S - 10)
    assert refused <= 0.02 * admitted


@pytest.mark.parametrize("seed", [17, 49, 73])
def test_what_confirms_a_limit_is_not_taken_for_chance(seed):
    """Else probes for more would come every few seconds, for the rate might have been lowered by chance."""
    run = Simulation(TokenBucket(10, 20), way_s=0.01)
    run.rng, run._ways = random.Random(seed), random.Random(seed + 100)
    admitted, refused = run.run(SPAN_S)
    assert admitted >= 0.97 * 10 * SPAN_S
    assert refused <= 0.0125 * (admitted + refused)


def test_rates_of_requests_and_of_tokens_grow_alike():
    """One that lagged behind would hold the calls, and so the growth, of both."""
    run = Simulation(TokenBucket(10, 20))
    run.rng = random.Random(21)  # before, the tokens lagged by 4 % at times
    run.run(30)
    requests, tokens = run.governor._limits.rates.values()
    for _ in range(200):
        run.run(0.5)
        grown = requests.value / requests.proven
        assert tokens.value / tokens.proven == pytest.approx(grown, rel=0.001)


def test_with_all_ceilings_set_even_many_stray_refusals_change_little():
    options = {"latency": (0.3, 0.4), "stray": 0.1, "concurrency": 200}
    options |= {"rpm": 10**6, "tpm": 10**9}
    admitted, _, _ = sums(lambda: Simulation(Unlimited(10**9), **options), seconds=20)
    assert admitted >= 0.95 * 200 / 0.35 * 20


def test_one_call_at_a_time():
    admitted, refused, _ = sums(
        lambda: Simulation(Concurrency(1), latency=(0.5, 0.5)), [1], seconds=25
    )
    assert admitted >= 40
    assert refused <= 6


@pytest.mark.parametrize("arrives", range(1, 6))
def test_one_call_at_a_time_whichever_of_the_first_calls_arrives_first(arrives):
    """Calls that start together reach a provider in any order."""

    class InOrderOfArrival(Concurrency):
        calls = 0

        def admit(self, now, tokens):
            self.calls += 1
            return 0.0 if self.calls < arrives else super().admit(now, tokens)

    run = Simulation(InOrderOfArrival(1), latency=(0.5, 0.5))
    admitted, refused = run.run(25)
    assert admitted >= 44
    assert refused <= 11


@pytest.mark.parametrize(
    ("provider", "retry_after"),
    [
        (FixedWindow(3, 60), False),
        (FixedWindow(3, 60), True),
        (TokenBucket(1 / 20, 3), False),
        (TokenBucket(1 / 20, 3), True),
    ],
    ids=["window", "window, retry-after", "token bucket", "token bucket, retry-after"],
)
def test_three_calls_a_minute(provider, retry_after):
    run = Simulation(provider, latency=(0.3, 0.4), retry_after=retry_after)
    admitted, refused = run.run(200)
    assert admitted >= 12
    assert refused <= 6


@pytest.mark.parametrize("seed", range(5))
def test_three_calls_a_minute_that_arrive_in_any_order(seed):
    """Refusals that come before the first answer do not hide that the window was open again."""
    run = Simulation(TokenBucket(1 / 20, 3), latency=(0.3, 0.4))
    rng, call = random.Random(seed), run.call
    run.call = lambda ticket: run.world.later(0.05 * rng.random(), lambda: call(ticket))
    admitted, refused = run.run(200)
    assert admitted >= 12
    assert refused <= 8


@pytest.mark.parametrize("retry_after", [False, True])
def test_one_call_every_five_seconds(retry_after):
    run = Simulation(TokenBucket(1 / 5, 1), latency=(0.3, 0.4), retry_after=retry_after)
    admitted, _ = run.run(600)
    assert admitted >= 0.75 * 600 / 5


@pytest.mark.parametrize(("stray", "most_s", "share"), [(0.1, 6.5, 0.95), (0.3, 20.0, 0.85)])
def test_a_fast_endpoint_that_refuses_by_chance(stray, most_s, share, monkeypatch):
    """The first calls of a job tell little: in few of many jobs chance is taken for a limit."""
    monkeypatch.setattr(simulation, "REFUSAL_S", 0.05)
    in_time = 0
    for seed in range(100):
        run = Simulation(Unlimited(10**9), latency=(0.05, 0.06), stray=stray, start=5)
        run.rng = random.Random(seed)
        for _ in range(int(most_s / 0.5)):
            if run.admitted < 300:
                run.run(0.5)
        in_time += run.admitted >= 300
    assert in_time >= share * 100


def test_a_window_that_closes_is_learned():
    run = Simulation(FixedWindow(600, 60))
    run.run(70)
    admitted, refused = run.run(230)
    assert admitted >= 3 * 600
    assert refused <= 12


def test_calls_of_different_size_against_a_limit_on_tokens():
    bucket = TokenBucket(1000, 1000, "tokens")
    simulation = Simulation(bucket, tokens=lambda rng: rng.randint(20, 140))
    simulation.run(10)
    admitted, refused = simulation.run(230)
    assert admitted >= 0.95 * 12.5 * 230
    assert refused <= 0.02 * admitted


def test_a_limit_that_halves_and_doubles_is_followed():
    admitted = refused = 0
    seeds = range(1, 6)
    for seed in seeds:
        bucket = TokenBucket(10, 10)
        simulation = Simulation(bucket)
        simulation.rng = random.Random(seed)
        simulation.run(10)
        for rate, seconds in ((10, 110), (5, 120), (10, 120)):
            bucket.rate = rate
            more, worse = simulation.run(seconds)
            admitted, refused = admitted + more, refused + worse
    assert admitted >= 0.95 * (1100 + 600 + 1200) * len(seeds)
    assert refused <= 0.02 * (admitted + refused)


def test_a_limit_that_rises_again_is_not_overestimated_for_long():
    """What the provider had saved up is admitted by the probe that finds it, too."""
    refused = admitted = 0
    for seed in range(10):
        bucket = TokenBucket(10, 20)
        run = Simulation(bucket, way_s=0.1)
        run.rng, run._ways = random.Random(seed), random.Random(seed + 100)
        run.run(80)
        bucket.rate, bucket.capacity = 5, 10
        run.run(80)
        bucket.rate, bucket.capacity = 10, 20
        more, worse = run.run(80)
        admitted, refused = admitted + more, refused + worse
    assert admitted >= 0.95 * 800 * 10
    assert refused <= 0.014 * (admitted + refused)


@pytest.mark.parametrize("seed", [6, 54])
def test_what_a_probe_admitted_is_known_also_where_calls_in_flight_may_explain_its_refusal(seed):
    """A refusal while the rate rises with the limit again; a trial before it ends soon."""
    bucket = TokenBucket(10, 20)
    run = Simulation(bucket)
    run.rng = random.Random(seed)
    run.run(80)
    bucket.rate, bucket.capacity = 5, 10
    run.run(80)
    bucket.rate, bucket.capacity = 10, 20
    admitted, _ = run.run(80)
    assert admitted >= 0.93 * 800


def test_a_limit_that_becomes_a_little_lower_after_a_long_time_is_followed():
    provider = TokenBucket(10, 20)
    run = Simulation(provider)
    run.run(1_500)
    provider.rate, provider.capacity = 9, 18
    run.run(120)
    admitted, refused = run.run(SPAN_S)
    assert admitted >= 0.97 * 9 * SPAN_S
    assert refused <= 0.015 * (admitted + refused)


def test_more_calls_in_flight_are_not_sent_where_they_only_wait_longer():
    simulation = Simulation(Unlimited(50))
    simulation.run(60)
    widest = 0
    for _ in range(120):
        admitted, _ = simulation.run(1)
        widest = max(widest, simulation.governor.limit)
    assert widest <= 250
    admitted, _ = simulation.run(60)
    assert admitted >= 0.95 * 100 * 60


def test_what_was_learned_is_shown():
    simulation = Simulation(TokenBucket(10, 10))
    assert simulation.governor.state().rpm_learned is None
    simulation.run(60)
    state = simulation.governor.state()
    assert state.rpm_learned == pytest.approx(600, rel=0.1)
    assert state.rpm_used == pytest.approx(600, rel=0.1)


def test_a_stray_overload_among_many_answers_changes_nothing(clock):
    gov = governor(clock, start=20)
    settle(gov, admitted(gov, 10))
    before = gov.limit
    settle(gov, admitted(gov, 1), Classification(Cause.OVERLOADED, None, 503))
    assert gov.limit == before
    assert gov.cooldown_left_s() == 0


def test_requests_per_minute_are_spread(clock):
    gov = governor(clock, concurrency=1000, rpm=60)
    tickets = admitted(gov, 200)
    clock.advance(60)
    assert 60 <= len(tickets) <= 62
    assert gov.state().rpm_used == pytest.approx(60, abs=2)


def test_tokens_are_reserved_by_estimate_and_settled_by_usage(clock):
    gov = governor(clock, concurrency=1000, tpm=60_000)
    for _ in range(300):  # 400 bytes use 200 tokens: the estimate adapts
        settle(gov, admitted(gov, 1), Classification(None, None, 200, usage=Usage(150, 50)))
        clock.advance(1)
    began = len(admitted(gov, 0))
    done = 0
    tickets = admitted(gov, 2000)
    for _ in range(60):
        clock.advance(1)
        new, tickets[:] = tickets[:], []
        done += len(new)
        settle(gov, new, Classification(None, None, 200, usage=Usage(150, 50)))
    assert began == 0
    assert done == pytest.approx(300, rel=0.1)


def test_jobs_take_turns(clock):
    gov, small = governor(clock, concurrency=2), Flow()
    first = admitted(gov, 50, Flow())
    second = admitted(gov, 4, small)
    for _ in range(4):
        settle(gov, [first.pop(0) if first else second.pop(0)])
    assert any(flow is small for flow, _ in second)


def test_a_higher_priority_goes_first_and_may_be_edited(clock):
    gov, low, high = governor(clock, concurrency=2), Flow(), Flow(1)
    first = admitted(gov, 10, low)
    second = admitted(gov, 4, high)
    settle(gov, first[:2])
    assert (len(first), len(second)) == (2, 2)
    high.priority = -1
    settle(gov, second[:2])
    assert (len(first), len(second)) == (4, 2)


def test_editing_while_running(clock):
    gov = governor(clock, concurrency=1)
    tickets = admitted(gov, 10)
    assert len(tickets) == 1
    gov.update(6, None, None)
    gevent.sleep(0)
    assert len(tickets) == 6


def test_nothing_remaining_holds_the_next_call_for_one_calls_worth(clock):
    gov = governor(clock, concurrency=5)
    limits = RateLimits(limit_requests=10, remaining_requests=0, reset_requests_s=20.0)
    settle(gov, admitted(gov, 1), Classification(None, None, 200, limits=limits))
    waiting = admitted(gov, 1)
    clock.advance(1.9)
    assert waiting == []
    clock.advance(0.2)
    assert len(waiting) == 1


def test_a_waiting_call_that_is_given_up_frees_its_place(clock):
    gov = governor(clock, concurrency=1)
    held = admitted(gov, 1)
    waiting = gevent.spawn(gov.admit, ONE, 400)
    gevent.sleep(0)
    waiting.kill()
    settle(gov, held)
    assert gov.state().in_flight == 0
    assert len(admitted(gov, 1)) == 1


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2", 2),
        ("0.5", 0.5),
        ("6m0s", 360),
        ("120ms", 0.12),
        ("1h2m3s", 3723),
        ("-5", 0),
        ("31536000", 31_536_000),
        ("999999999", LONGEST_S),
        ("Thu, 01 Jan 1970 00:17:00 GMT", 20),
        ("1970-01-01T00:17:00Z", 20),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_durations_in_all_their_forms(text, seconds):
    assert duration_s(text, 1000.0) == (None if seconds is None else pytest.approx(seconds))


@given(st.text(max_size=60))
def test_no_header_breaks_the_reader(text):
    for value in (duration_s(text, 1000.0), retry_after_s({"retry-after-ms": text}, 1000.0)):
        assert value is None or 0 <= value <= LONGEST_S


def test_a_window_that_is_used_up_is_a_reason_to_wait(clock):
    gov = governor(clock)
    gov._limits.window.count = 2
    settle(gov, admitted(gov, 2))
    assert gov.state().reason == ""
    admitted(gov, 1)
    state = gov.state()
    assert state.reason == "the calls of this minute are used up"
    assert state.cooldown_s == pytest.approx(60, abs=1)
