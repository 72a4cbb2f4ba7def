"""The live states of several runs of a job, merged into one."""

import msgspec

from simple_batch.core.domain import GovernorState, LimitedBy
from simple_batch.runner import live_state
from simple_batch.runner.live_state import ConfigLive, LiveState


def state(at=1_000, **fields) -> LiveState:
    governor = fields.pop("governor", GovernorState(limit=5, in_flight=2, learning=False))
    values = {"in_flight": 2, "retrying": 1, "rate": 1.5, "calls": 2}
    indices = {"in_flight_idx": [3, 7], "retrying_idx": [5]}
    return LiveState(at=at, governor=governor, **{**values, **indices, **fields})


def test_sums_and_the_longest_cooldown():
    cooling = GovernorState(5, 2, True, cooldown_s=3.0, reason="rate_limit", rpm_learned=60)
    found = live_state.merged([state(), state(2_000, governor=cooling, in_flight_idx=[1, 9])])
    assert (found.at, found.in_flight, found.retrying, found.rate) == (2_000, 4, 2, 3.0)
    assert found.in_flight_idx == [1, 3, 7, 9]
    assert found.governor == GovernorState(
        10, 4, True, cooldown_s=3.0, reason="rate_limit", rpm_learned=60
    )
    assert found.configs is None


def test_a_learned_rate_is_that_of_all_runs_together():
    learned = GovernorState(5, 5, True, rpm_learned=600, limited_by=LimitedBy.LEARNED_REQUESTS,
                            limited_to=600)  # fmt: skip
    found = live_state.merged([state(governor=learned), state(governor=learned)]).governor
    assert (found.rpm_learned, found.limited_by, found.limited_to) == (
        600,
        "learned_requests",
        600,
    )


def test_each_run_has_its_share_of_a_learned_concurrency():
    full = GovernorState(8, 8, True, limited_by=LimitedBy.LEARNED_CONCURRENCY, limited_to=8)
    idle = GovernorState(12, 3, True)
    found = live_state.merged([state(governor=idle), state(governor=full)]).governor
    assert (found.limit, found.limited_by, found.limited_to) == (20, "learned_concurrency", 20)


def test_a_config_is_down_where_all_found_it_so():
    def part(state: str) -> ConfigLive:
        return ConfigLive(state, GovernorState(2, 1, False))

    found = live_state.merged(
        [
            state(configs={"a": part("down"), "b": part("down")}),
            state(configs={"a": part("")}),
        ]
    )
    assert found.configs["a"].state == ""
    assert found.configs["a"].governor.limit == 4
    assert found.configs["b"].state == "down"


def test_stale_states_are_left_out():
    assert (
        live_state.fresh([state(1_000), state(1_000 + live_state.LIVE_FRESH_MS)])[0].at
        == 1_000 + live_state.LIVE_FRESH_MS
    )
    assert "configs" not in msgspec.json.decode(live_state.encode(state()))
