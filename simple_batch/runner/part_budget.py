"""Reserves what a part may cost under the spend caps of its job and of its config, before it is sent.

What a batch costs is not known until it has ended: so it counts as spent, estimated, from the moment it is
sent until its results are merged and what they cost is known. Input tokens are those that were
counted when the part was cut. Output tokens are the mean of the job's answers so far; before there are some,
as many as the requests allow.
"""

import re
from collections.abc import Callable
from enum import StrEnum
from math import ceil
from pathlib import Path

import msgspec

from ..core.call_prices import Usage, in_units
from ..core.domain import BATCH_TIER, EMBEDDINGS
from ..core.json_pieces import with_breaks
from ..core.messages import Message, translatable
from ..engine.breaker import PauseReason
from ..store import batch_parts, spend_leases
from ..store import jobs as job_rows
from ..store.configs import job_defaults
from ..store.database import retry_while_unavailable
from ..store.models import BatchPart, Job
from .providers import Provider
from .spend_caps import SPEND_CAP, UNKNOWN, JobSpendLimit

DEFAULT_MAX_TOKENS = 4096  # of an answer, where neither the request nor the config says how many
ANSWERS = 20  # from which on their mean counts
MARGIN = 1.2  # over that mean
LEAST = 0.05  # of the requests of a part, that are worth a batch
_LIMIT = re.compile(
    rb'"(?:max_tokens|max_completion_tokens|max_output_tokens|maxOutputTokens)":\s*(\d{1,9})'
)


class Room(StrEnum):
    """What becomes of a part that is about to be sent."""

    RESERVED = "reserved"  # it may be sent
    SMALLER = "smaller"  # fewer of its requests would fit
    LATER = "later"  # it may fit when other batches have ended and cost less than was reserved


class PartBudget:
    """Of one job. ``limit`` is the spend limit of its calls; ``input_of(part_id)`` is the file with the
    input of a part."""

    def __init__(
        self,
        job_id: int,
        provider_of: Callable[[int], Provider],
        limit: JobSpendLimit,
        input_of: Callable[[int], Path],
    ):
        self._job_id = job_id
        self._provider_of = provider_of
        self._limit = limit
        self._input_of = input_of
        self._most: dict[tuple[int, str], int] = {}  # requests of a part, where one was too dear

    def most_requests(self, config_id: int, model: str) -> int | None:
        """How many requests the next part may have, where one was too dear; None: any number."""
        return self._most.get((config_id, model))

    def reserve(self, part: BatchPart) -> Room | PauseReason:
        """Reserve what a part may cost; if that is more than the caps leave, what to do instead."""
        provider, job = retry_while_unavailable(self._read, part.config_id)
        foreign = provider.prices.currency != job.currency
        in_job, in_config = job.spend_cap is not None, provider.spend_limit.bounded
        cost = self._cost(part, provider, job, in_job or in_config)
        if (in_job and foreign) or (cost is None and (in_job or in_config)):
            if retry_while_unavailable(job_rows.last_pause, job.id) != UNKNOWN:
                return PauseReason(UNKNOWN, _unknown(provider.alias, foreign))
            cost = 0  # resumed all the same: it is not counted
        accounts = [provider.spend_limit.account()]
        if not foreign:
            accounts.append(self._limit.account())
        short = retry_while_unavailable(spend_leases.reserve, part.id, accounts, cost or 0)
        if short is None:
            part.reserved_nano = cost or 0
            self._most.pop((part.config_id, part.model), None)
            retry_while_unavailable(self._refresh, provider)
            return Room.RESERVED
        return self._too_dear(part, provider, short, cost or 0)

    def merged(self, part: BatchPart) -> None:
        """The results of a part are merged: what they cost takes the place of what was reserved. ``part`` is
        as it was before."""
        provider, _ = retry_while_unavailable(self._read, part.config_id)
        now = retry_while_unavailable(BatchPart.get_or_none, BatchPart.id == part.id)
        if now is not None:
            cost = now.cost_nano - part.cost_nano
            self._limit.charge(cost)
            self._limit.unknown |= now.unpriced > part.unpriced
            provider.spend_limit.charge(cost)
        retry_while_unavailable(self._refresh, provider)
        retry_while_unavailable(batch_parts.wake_waiting, part.config_id)

    def _read(self, config_id: int) -> tuple[Provider, Job]:
        return self._provider_of(config_id), Job.get_by_id(self._job_id)

    def _refresh(self, provider: Provider) -> None:
        """Let calls know what is reserved."""
        for limit in (self._limit, provider.spend_limit):
            limit.reserve(spend_leases.reserved(limit.account()))

    def _too_dear(
        self, part: BatchPart, provider: Provider, short: spend_leases.Account, cost: int
    ) -> Room | PauseReason:
        left = retry_while_unavailable(spend_leases.left_of, short) or 0
        fitting = int(part.requests * max(0, left) / cost)
        least = ceil(LEAST * part.requests)
        if least <= fitting < part.requests:
            self._most[part.config_id, part.model] = fitting
            return Room.SMALLER
        if retry_while_unavailable(spend_leases.reserved, short):
            return Room.LATER
        needed = -(-cost * least // part.requests)
        config_id = None if short.kind == spend_leases.JOB else provider.config_id
        limit = self._limit if config_id is None else provider.spend_limit
        reached = limit.lacking(1)
        if reached is not None:
            return msgspec.structs.replace(reached, needed=needed)
        detail = _no_room(provider, config_id is None, max(0, left), needed)
        return PauseReason(SPEND_CAP, detail, config_id, needed=needed)

    # --- what a part may cost -----------------------------------------------------------------

    def _cost(self, part: BatchPart, provider: Provider, job: Job, capped: bool) -> int | None:
        """In nano-units of the config's currency; None where a price is not known."""
        output = 0 if part.url == EMBEDDINGS else self._output_tokens(part, provider, job, capped)
        mean = Usage(-(-part.tokens // part.requests), -(-output // part.requests))
        each = provider.prices.dearest(mean, BATCH_TIER)
        return None if each is None else each * part.requests

    def _output_tokens(self, part: BatchPart, provider: Provider, job: Job, capped: bool) -> int:
        usual = job_defaults(job, provider.defaults).max_tokens or DEFAULT_MAX_TOKENS
        if job.succeeded >= ANSWERS:
            usual = min(usual, ceil(MARGIN * job.output_tokens / job.succeeded))
        if job.succeeded >= ANSWERS or not capped:
            return usual * part.requests
        return _allowed_tokens(self._input_of(part.id), part.requests, usual)


def _allowed_tokens(path: Path, requests: int, usual: int) -> int:
    """Tokens of output that the requests of a file allow in all, ``usual`` where one does not say."""
    if not path.exists():
        return usual * requests
    with path.open("rb") as lines:
        found = map(_LIMIT.search, with_breaks(lines, 500))
        return sum(int(limit[1]) if limit else usual for limit in found)


def _unknown(alias: str, foreign: bool) -> Message:
    if foreign:
        return translatable(
            "“%(config)s” has prices in another currency than the spend cap: what a batch costs cannot be "
            "counted. Resume to go on without counting it, or remove the cap first.",
            config=alias,
        )
    return translatable(
        "No price in a batch is known for “%(config)s”: the spend cap cannot be kept. Set its batch discount, "
        "remove the cap, or resume to go on without counting what batches cost.",
        config=alias,
    )


def _no_room(provider: Provider, of_job: bool, left: int, needed: int) -> Message:
    currency = provider.prices.currency
    values = {"left": in_units(left, currency), "needed": in_units(needed, currency)}
    if of_job:
        return translatable(
            "The job's spend cap leaves %(left)s, and the next batch may cost %(needed)s. The job "
            "goes on when you raise or remove the cap on its Settings tab.",
            **values,
        )
    return translatable(
        "The spend caps of the connection “%(alias)s” leave %(left)s, and the next batch may cost %(needed)s. "
        "The job goes on when they leave as much, or when you raise or remove them in the connection.",
        alias=provider.alias,
        **values,
    )
