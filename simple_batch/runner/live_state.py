"""Live state of a job, known only to the process that makes its calls, for display on the pages."""

from collections.abc import Iterable

import msgspec

from ..core.domain import GovernorState, LimitedBy, Waiting
from ..store import timeline
from ..store.jobs import LIVE_FRESH_MS
from ..store.models import Job

SHOWN_INDICES = 1000


class ConfigLive(msgspec.Struct):
    """One config's part of a job that is spread over several."""

    state: str
    governor: GovernorState


class LiveState(msgspec.Struct, omit_defaults=True):
    """``at`` is when it was so (epoch ms), ``rate`` the requests finished a second, ``calls`` how many
    calls those in flight go in, ``configs`` by alias. ``waits``: no call can be made for now, for want
    of a share of the limits or of money. ``waiting``: the endpoint is away (engine/outage.py)."""

    at: int
    in_flight: int
    retrying: int
    rate: float
    in_flight_idx: list[int]
    retrying_idx: list[int]
    governor: GovernorState
    calls: int
    configs: dict[str, ConfigLive] | None = None
    waits: bool = False
    waiting: Waiting | None = None
    parts: dict[str, int] | None = None  # batches at providers, by state (core/domain.PartState)


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(LiveState).decode


def write(job_id: int, live: LiveState) -> None:
    """Keep it in the job's row, and the limit and the calls in flight in its timeline."""
    Job.update(live=encode(live).decode()).where(Job.id == job_id).execute()
    governor = live.governor
    timeline.sample(job_id, live.at // 1000, live.calls, governor.limit, governor.cooldown_s > 0)


def fresh(lives: list[LiveState]) -> list[LiveState]:
    """Drop states much older than the newest: they come from job runs that have died."""
    newest = max(live.at for live in lives)
    return [live for live in lives if newest - live.at < LIVE_FRESH_MS]


def waits(encoded: str) -> bool:
    """Whether a job run that last reported this state can make no call."""
    return bool(encoded) and decode(encoded).waits


def merged(lives: list[LiveState]) -> LiveState:
    """Merge the live states of several runs of a job."""
    aliases = {alias for live in lives for alias in live.configs or ()}
    configs = {
        alias: _one(
            [live.configs[alias] for live in lives if live.configs and alias in live.configs]
        )
        for alias in sorted(aliases)
    }
    return LiveState(
        at=max(live.at for live in lives),
        in_flight=sum(live.in_flight for live in lives),
        retrying=sum(live.retrying for live in lives),
        rate=round(sum(live.rate for live in lives), 3),
        in_flight_idx=_joined(live.in_flight_idx for live in lives),
        retrying_idx=_joined(live.retrying_idx for live in lives),
        governor=_governor([live.governor for live in lives]),
        calls=sum(live.calls for live in lives),
        configs=configs or None,
        waits=all(live.waits for live in lives),
        waiting=_waiting(lives),
        parts=next((live.parts for live in lives if live.parts), None),
    )


def _waiting(lives: list[LiveState]) -> Waiting | None:
    """The outage that began first, if no run of the job makes calls beside it."""
    waiting = [live.waiting for live in lives if live.waiting is not None]
    if not waiting or any(live.waiting is None and live.calls for live in lives):
        return None
    first = min(waiting, key=lambda one: one.since)
    soonest = min(one.next_probe_at for one in waiting)
    return msgspec.structs.replace(first, next_probe_at=soonest)


def _joined(lists: Iterable[list[int]]) -> list[int]:
    return sorted(index for indices in lists for index in indices)[:SHOWN_INDICES]


def _one(states: list[ConfigLive]) -> ConfigLive:
    """A config counts as stopped or down if all runs of the job found it so."""
    state = states[0].state if all(state.state for state in states) else ""
    return ConfigLive(state, _governor([state.governor for state in states]))


def _governor(states: list[GovernorState]) -> GovernorState:
    """Merge the governors: each admits calls on its share of the limits."""
    longest = max(states, key=lambda state: state.cooldown_s)
    limited = next((state for state in states if state.limited_by), states[0])
    return GovernorState(
        limit=sum(state.limit for state in states),
        in_flight=sum(state.in_flight for state in states),
        learning=any(state.learning for state in states),
        cooldown_s=longest.cooldown_s,
        reason=longest.reason,
        rpm_used=sum(state.rpm_used for state in states),
        tpm_used=sum(state.tpm_used for state in states),
        rpm_learned=_most(state.rpm_learned for state in states),
        tpm_learned=_most(state.tpm_learned for state in states),
        limited_by=limited.limited_by,
        limited_to=_limited_to(states, limited),
    )


# limits that each process has its share of; the others are the same in all
_SHARED = frozenset({LimitedBy.LEARNED_CONCURRENCY, LimitedBy.GROWING})


def _limited_to(states: list[GovernorState], limited: GovernorState) -> int | None:
    if limited.limited_by in _SHARED:
        return sum(state.limit for state in states)
    return limited.limited_to


def _most(learned: Iterable[int | None]) -> int | None:
    """What one knows of the provider's limit, all know: it is that of all processes together."""
    return max((value for value in learned if value is not None), default=None)
