"""Failures of a part that may be those of all requests: whether they stop the job, or have failed alone.

The same rules as for calls (breaker.py, parameter_guard.py, failure_guard.py), but the lines of a part stand
in any order and have all run already. So a part is read once to see whether anything in it succeeded, and
what is undecided until then is read again. Nothing of it is kept in memory.
"""

from collections import deque
from collections.abc import Callable, Iterable

from ...core.domain import RequestResult
from ..alike import AlikeFailures
from ..breaker import AT_ONCE, PauseReason, pause_reason
from ..classify import Classification
from ..failure_guard import OF_ONE_REQUEST, GuardPolicy, same_failure
from ..parameter_guard import rejected_parameters
from .line_results import Action, JudgedLine

_LATEST = 50  # successes whose parameters are looked at


class PartFailures:
    """``held``: some lines are undecided. ``stop`` is set when they are decided."""

    def __init__(self, guard: GuardPolicy):
        self._limit = guard.first
        self._excused = guard.excused
        self._alike = AlikeFailures()
        self._same: PauseReason | None = None
        self._stopping: Classification | None = None
        self._at_once = False
        self._parameters: dict[str, Classification] = {}
        self._decided = False
        self.answered = False
        self.latest: deque[int] = deque(maxlen=_LATEST)  # indices of requests that succeeded
        self.held = 0
        self.stop: PauseReason | None = None

    def succeeded(self, indices: Iterable[int]) -> None:
        """Requests have succeeded: what ``action`` would note of them."""
        self.answered = True
        self.latest.extend(indices)

    def action(self, index: int, line: JudgedLine, failed: RequestResult | None) -> Action | None:
        """What becomes of a request; None where it is undecided as yet. ``failed`` is its result where it
        would fail."""
        if line.action is Action.SUCCEED:
            self.answered = True
            self.latest.append(index)
        if not self._concerns_all(line):
            return Action.FAIL if line.action is Action.STOP else line.action
        if self._decided:
            return Action.LEAVE if self.stop is not None else Action.FAIL
        if line.action is Action.FAIL and self._excused:
            self._excused -= 1
            return Action.FAIL
        self._note(line, failed)
        return None

    def _concerns_all(self, line: JudgedLine) -> bool:
        """Whether the failure may be that of all requests."""
        finding = line.finding
        if finding is None or line.action not in (Action.STOP, Action.FAIL):
            return False
        if line.parameter is not None:
            return True
        if line.action is Action.STOP:
            return finding.cause in AT_ONCE or not self.answered
        alone = finding.outcome is not None or finding.cause in OF_ONE_REQUEST
        return bool(self._limit) and not self.answered and not alone

    def _note(self, line: JudgedLine, failed: RequestResult | None) -> None:
        self.held += 1
        finding = line.finding
        assert finding is not None
        if line.parameter is not None:
            self._parameters.setdefault(line.parameter, finding)
        elif line.action is Action.STOP:
            if not self._at_once:
                self._stopping, self._at_once = finding, finding.cause in AT_ONCE
        elif self._same is not None or failed is None:
            return
        elif self._alike.add(failed) >= self._limit:
            self._same = same_failure(failed, self._limit)

    def decide(self, accepted: Callable[[str], bool]) -> PauseReason | None:
        """All lines have been read: decide about what is held. ``accepted(parameter)``: a request that
        has it succeeded. Returns why the job stops, if it does."""
        self._decided = True
        rejected = [name for name in self._parameters if not accepted(name)]
        if self._stopping is not None and (self._at_once or not self.answered):
            self.stop = pause_reason(self._stopping)
        elif rejected:
            self.stop = rejected_parameters(tuple(rejected), self._parameters[rejected[0]])
        elif not self.answered:
            self.stop = self._same
        return self.stop
