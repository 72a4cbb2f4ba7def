"""Merges the results of a part into its job: the lines of the files, in any order, become results.

It may be killed at any moment and begun again: a request leaves its part in the transaction that records
what it got (store/part_change.py), and what has left it is passed over.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from ..core.clock import now_ms
from ..core.domain import Adjustment, BatchAnswer, Cause, Request, Tried, Verdict
from ..core.json_pieces import Breaks
from ..core.messages import Message, translatable
from ..core.stored_messages import PROGRAM_FAULT
from ..engine.batch_api.batch_client import BatchClient, LineResult, ResultsCutOff
from ..engine.batch_api.line_results import Action, JudgedLine, LineJudge, Sent
from ..engine.batch_api.part_failures import PartFailures
from ..engine.body_paths import decode, holds
from ..engine.breaker import PauseReason
from ..engine.classify import Classification
from ..engine.failure_guard import GuardPolicy
from ..engine.parameter_adjuster import ParameterAdjuster
from ..engine.retry import Policy
from ..engine.structured_output import Structure
from ..store import jobs as job_rows
from ..store import part_results
from ..store.answer_group import AnswerGroup
from ..store.database import retry_while_unavailable
from ..store.models import BatchPart, Job
from ..store.results import Recorded
from ..store.write_pace import Pace
from .adjustment_notes import learned
from .part_bodies import PartBodies
from .part_lines import index_of
from .providers import Provider
from .recorder import ResultSink

log = logging.getLogger(__name__)

GROUP = 500  # lines that are looked up in one query …
GROUP_BYTES = 2 << 20  # … fewer where their answers are larger
LARGE = 10_000  # bytes of an answer after which other greenlets may have their turn …
FEW = 10  # … or lines, where they are smaller
_Line = tuple[int, Classification | BatchAnswer | None]  # index of the request, what its line says


class Merged(msgspec.Struct):
    """What was found in the files of a part. ``stop`` is why the job pauses, if it does."""

    lines: int = 0
    strange: int = 0  # of requests that are not in this part
    repeated: int = 0  # of requests that had one before
    unreadable: int = 0
    missing: int = 0  # requests that had none
    stop: PauseReason | None = None

    def notes(self, alias: str, batch: str) -> list[Message]:
        """What was wrong with the files, for the job's events."""
        names = {"config": alias, "batch": batch}
        found = (
            (
                self.strange,
                translatable(
                    "%(config)s, batch %(batch)s: results of requests that are not in it were left out "
                    "(%(count)s)",
                    **names,
                    count=self.strange,
                ),
            ),
            (
                self.repeated,
                translatable(
                    "%(config)s, batch %(batch)s: further results of the same requests were left out "
                    "(%(count)s)",
                    **names,
                    count=self.repeated,
                ),
            ),
            (
                self.unreadable,
                translatable(
                    "%(config)s, batch %(batch)s: lines that are no results (%(count)s)",
                    **names,
                    count=self.unreadable,
                ),
            ),
            (
                self.missing,
                translatable(
                    "%(config)s, batch %(batch)s: requests without a result are sent again (%(count)s)",
                    **names,
                    count=self.missing,
                ),
            ),
        )
        return [note for count, note in found if count]


class PartMerger:
    """Merges parts of one job. ``structure`` is the one that its requests are encoded with; ``sink`` takes
    the results. ``key_of`` gives the key under which an answer is kept for other jobs."""

    def __init__(
        self,
        job: Job,
        provider: Provider,
        sink: ResultSink,
        policy: Policy,
        guard: GuardPolicy,
        structure: Structure | None = None,
        key_of: Callable[[Request], bytes] | None = None,
    ):
        self._job = job
        self._provider = provider
        self._sink = sink
        self._policy = policy
        self._guard = guard
        self._structure = structure
        self._key_of = key_of

    def merge(
        self,
        part: BatchPart,
        client: BatchClient,
        paths: Sequence[Path],
        stop: Callable[[PauseReason], None],
    ) -> Merged:
        """Merge a part that has ended from the files with its results; then it is over. ``stop`` is called
        with why the job pauses, if it does, before any request is free for another part."""
        level = self._structure.level_at(part.created_at) if self._structure is not None else 0
        bodies = PartBodies(self._job, self._provider, self._structure, part.created_at, level)
        judge = self._judge(part, bodies, level)
        failures = PartFailures(self._guard)
        reading = _Reading(
            self._job, self._provider, self._sink, part, judge, failures, self._key_of
        )
        reading.read(client, paths)
        merged = reading.merged
        merged.stop = failures.decide(lambda name: self._accepted(name, failures.latest))
        if merged.stop is not None:
            stop(merged.stop)
        if failures.held:
            reading.again().read(client, paths)
        with Pace() as pace:
            while left := pace.step(part_results.leave_step, part.id, pace.rows):
                merged.missing += left
        notes = merged.notes(self._provider.alias, part.provider_id)
        retry_while_unavailable(part_results.end, part.id, notes)
        return merged

    def _judge(self, part: BatchPart, bodies: PartBodies, level: int) -> LineJudge:
        began = part.sent_at or part.created_at
        return LineJudge(
            part.url,
            Sent(began, max(began, part.ended_at or now_ms()), level),
            self._policy,
            bodies.now,
            bodies.then,
            self._structure,
            ParameterAdjuster(bodies.defaults, self._learn),
        )

    def _learn(self, adjustment: Adjustment, origin: str) -> None:
        """A parameter is rejected: from now on it is sent in another way, or no longer."""
        if self._provider.learn(adjustment):
            detail = learned(self._provider.alias, adjustment, origin)
            log.info("job %s: %s", self._job.id, detail)
            retry_while_unavailable(job_rows.note, self._job.id, job_rows.ADJUSTED, detail)

    def _accepted(self, parameter: str, indices: Iterable[int]) -> bool:
        """Whether a request that has succeeded has the parameter."""
        found = retry_while_unavailable(part_results.requests, self._job.id, indices)
        return any(holds(decode(request.body), parameter) for request in found.values())


class _Reading:
    """Reads the files of one part, and hands what is decided to the recorder."""

    def __init__(
        self,
        job: Job,
        provider: Provider,
        sink: ResultSink,
        part: BatchPart,
        judge: LineJudge,
        failures: PartFailures,
        key_of: Callable[[Request], bytes] | None,
    ):
        self._job_id, self._total = job.id, job.total
        self._provider = provider
        self._sink = sink
        self._part_id = part.id
        self._judge = judge
        self._failures = failures
        self._key_of = key_of
        self._foreign = provider.prices.currency != job.currency
        self._sent = judge.sent
        self._seen = bytearray(job.total // 8 + 1)  # a bit for each request
        self._group: list[_Line] = []
        self._group_bytes = 0
        self._settled: list[Recorded | AnswerGroup] = []
        self.merged = Merged()

    def again(self) -> "_Reading":
        """Ready to read the same files once more, for what was undecided."""
        self._seen = bytearray(len(self._seen))
        self.merged = Merged()
        return self

    def read(self, client: BatchClient, paths: Sequence[Path]) -> None:
        """Read all files; then what is decided is recorded."""
        breaks = Breaks()
        for path in paths:
            try:
                for number, line in enumerate(client.read(path)):
                    if self._take(line) > LARGE or number % FEW == 0:
                        breaks.take()
            except ResultsCutOff:
                self.merged.unreadable += 1
        self._finish_group()

    def _take(self, line: LineResult) -> int:
        """Returns the bytes of its answer."""
        self.merged.lines += 1
        index = self._index(line.line_id)
        if index is None:
            return 0
        try:
            found = self._found(line)
        except Exception as error:
            found = _fault(index, error)
        self._group.append((index, found))
        size = len(line.reply.body) if line.reply is not None else 0
        self._group_bytes += size
        if len(self._group) >= GROUP or self._group_bytes >= GROUP_BYTES:
            self._finish_group()
        return size

    def _found(self, line: LineResult) -> Classification | BatchAnswer | None:
        if self._key_of is not None:  # it needs the request
            return self._judge.finding(line)
        answer = self._judge.answer(line)
        if answer is not None:
            return answer
        finding = self._judge.finding(line)
        return self._judge.answer_of(finding) or finding

    def _index(self, text: str) -> int | None:
        """The request that a line is for; None where it is no line of a request, or a further one."""
        if not text:
            self.merged.unreadable += 1
            return None
        index = index_of(text)
        if index is None or index >= self._total:
            self.merged.strange += 1
            return None
        byte, bit = index >> 3, 1 << (index & 7)
        if self._seen[byte] & bit:
            self.merged.repeated += 1
            return None
        self._seen[byte] |= bit
        return index

    def _finish_group(self) -> None:
        """Record what the lines since the last time say."""
        group, self._group, self._group_bytes = self._group, [], 0
        if not group:
            return
        indices = [index for index, _ in group]
        known = retry_while_unavailable(part_results.tried, self._job_id, self._part_id, indices)
        if len(known) < len(group):
            # a line that was not sent leaves no trace of its request in this part
            others = [index for index, said in group if said and index not in known]
            self.merged.strange += retry_while_unavailable(
                part_results.never_there, self._job_id, others
            )
        answers = [
            (index, known[index].attempts, found)
            for index, found in group
            if type(found) is BatchAnswer and index in known
        ]
        if answers:
            self._failures.succeeded([index for index, *_ in answers])
            self._settled.append(self._answered(answers))
        if len(answers) < len(known):
            self._settle_others(group, known)
        settled, self._settled = self._settled, []
        if settled:
            self._sink.record_group(settled)

    def _answered(self, answers: list[tuple[int, int, BatchAnswer]]) -> AnswerGroup:
        return AnswerGroup(
            job_id=self._job_id,
            alias=self._provider.alias,
            prices=self._provider.prices,
            part_id=self._part_id,
            config_id=self._provider.config_id,
            foreign=self._foreign,
            began_at=self._sent.began_at,
            ended_at=self._sent.ended_at,
            finished_at=now_ms(),
            answers=answers,
        )

    def _settle_others(self, group: list[_Line], known: dict[int, Tried]) -> None:
        """Decide about the lines that are no plain answers."""
        findings = [
            (index, found)
            for index, found in group
            if index in known and not isinstance(found, BatchAnswer)
        ]
        needed = self._requests(findings)
        breaks = Breaks()
        for index, finding in findings:
            try:
                self._settle(index, finding, needed.get(index), known[index])
            except Exception as error:
                self._settle(index, _fault(index, error), None, known[index])
            breaks.take()

    def _requests(self, findings: list[tuple[int, Classification | None]]) -> dict[int, Request]:
        """The requests that are needed for more than their index."""
        wanted = [
            index
            for index, finding in findings
            if self._judge.needs_request(finding) or (self._key_of and finding is not None)
        ]
        if not wanted:
            return {}
        return retry_while_unavailable(part_results.requests, self._job_id, wanted)

    def _settle(
        self, index: int, finding: Classification | None, request: Request | None, tried: Tried
    ) -> None:
        line = self._judge.judge(finding, request, tried)
        failed = None
        if line.action in (Action.FAIL, Action.STOP):
            failed = self._judge.result(line, index, tried)
        action = self._failures.action(index, line, failed)
        if action is None:
            return
        result = failed
        if action is Action.SUCCEED:
            result = self._judge.result(line, index, tried)
        elif action is Action.LEAVE:
            result = None
        self._record(index, line, request, tried, result)

    def _record(self, index, line: JudgedLine, request, tried: Tried, result) -> None:
        attempt = self._judge.attempt(line, tried) if result is None else result.attempts[-1]
        key = None
        if self._key_of is not None and request is not None and line.action is Action.SUCCEED:
            key = self._key_of(request)
        self._settled.append(
            Recorded(
                job_id=self._job_id,
                alias=self._provider.alias,
                prices=self._provider.prices,
                index=index,
                attempts=() if attempt is None else (attempt,),
                result=result,
                config_id=self._provider.config_id,
                foreign=self._foreign,
                key=key,
                part_id=self._part_id,
            )
        )


def _fault(index: int, error: Exception) -> Classification:
    """An error in this program fails only the request that it hit."""
    log.error("the result of request %s failed inside the program", index, exc_info=error)
    message = PROGRAM_FAULT(error=type(error).__name__)
    return Classification(Cause.INTERNAL, Verdict.FINAL, message=message)
