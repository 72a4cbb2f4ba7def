"""Answers of a part of a job that are written together: what the recorder takes for each alone (Recorded), in
columns. Most lines of a batch's results are such answers, and there are millions of them."""

import msgspec

from ..core.call_prices import CallPrices, Prices
from ..core.domain import BATCH_TIER, Attempt, BatchAnswer, RequestResult, RequestStatus
from .job_change import Recorded

_SUCCEEDED = RequestStatus.SUCCEEDED.value
_EARLIER = Attempt(0, 0, 0)  # stands for one that is stored
ROW = (
    "INSERT INTO result (job_id, idx, status, http_status, message, response, model, config, attempts, "
    "started_at, finished_at, input_tokens, output_tokens, cached_tokens, reasoning_tokens, "
    "cache_write_tokens, cache_write_1h_tokens, estimated, cost_nano, outcome, finish_reason, service_tier) "
    "VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
)


class AnswerGroup(msgspec.Struct):
    """Requests of one part that have succeeded. ``answers`` are (index, attempts that are stored, answer); the
    part ran from ``began_at`` to ``ended_at`` (epoch ms). The other fields are those of Recorded."""

    job_id: int
    alias: str
    prices: Prices
    part_id: int
    config_id: int | None
    foreign: bool
    began_at: int
    ended_at: int
    finished_at: int
    answers: list[tuple[int, int, BatchAnswer]]

    def __len__(self) -> int:
        return len(self.answers)

    def call_prices(self) -> CallPrices:
        return CallPrices(self.prices, self.ended_at, BATCH_TIER, self.began_at)

    def rows(self, costs: list[int | None]) -> list[tuple]:
        """For ``ROW``; ``costs`` in the job's currency."""
        job_id, alias, began, ended = self.job_id, self.alias, self.began_at, self.finished_at
        return [
            (
                job_id,
                index,
                _SUCCEEDED,
                answer.http_status,
                "",
                answer.response,
                answer.model,
                alias,
                tried + 1,
                began,
                ended,
                (usage := answer.usage).input,
                usage.output,
                usage.cached,
                usage.reasoning,
                usage.cache_write,
                usage.cache_write_1h,
                usage.estimated,
                cost,
                None if answer.outcome is None else answer.outcome._value_,
                answer.finish_reason,
                BATCH_TIER,
            )
            for (index, tried, answer), cost in zip(self.answers, costs, strict=True)
        ]

    def records(self) -> list[Recorded]:
        """The same one by one."""
        return [self._record(*one) for one in self.answers]

    def _record(self, index: int, tried: int, answer: BatchAnswer) -> Recorded:
        took = self.ended_at - self.began_at
        attempt = Attempt(tried + 1, self.began_at, took, http_status=answer.http_status)
        result = RequestResult(
            index=index,
            status=RequestStatus.SUCCEEDED,
            attempts=(_EARLIER,) * tried + (attempt,),
            started_at=self.began_at,
            finished_at=self.finished_at,
            latency_ms=None,
            response=answer.response,
            http_status=answer.http_status,
            usage=answer.usage,
            model=answer.model,
            outcome=answer.outcome,
            finish_reason=answer.finish_reason,
            service_tier=BATCH_TIER,
        )
        return Recorded(
            job_id=self.job_id,
            alias=self.alias,
            prices=self.prices,
            index=index,
            attempts=(attempt,),
            result=result,
            config_id=self.config_id,
            foreign=self.foreign,
            part_id=self.part_id,
        )
