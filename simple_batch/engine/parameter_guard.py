"""Pauses a job whose own lines have a parameter that the model rejects.

What a user's line says is never left out without being asked. A request that is refused for such a
parameter is held back. After TRIP of them without a success that has the parameter, or when nothing else
is left to try, the job pauses and offers to leave the parameter out of all; those that are held back stay
pending. If a request with the parameter succeeds, only the value of the others was wrong: they have failed
for their own reasons. Requests without it go on.
"""

from ..core.domain import Request
from ..core.messages import listed, translatable
from ..core.stored_messages import recognised
from .body_paths import decode, holds
from .breaker import TRIP, PauseReason
from .classify import Classification
from .retry import StopAll

REJECTED_PARAMETER = "rejected_parameter"  # why a job is paused


class ParameterGuard:
    """Collects requests whose own parameters are rejected."""

    def __init__(self) -> None:
        self.held: list[StopAll] = []
        self._accepted: set[str] = set()
        self._last: Request | None = None  # that has succeeded

    def is_accepted(self, parameter: str) -> bool:
        """Whether a request with the parameter has succeeded."""
        if self._last is not None and holds(decode(self._last.body), parameter):
            self._accepted.add(parameter)
        return parameter in self._accepted

    def failed(self, stopped: StopAll, parameter: str) -> PauseReason | None:
        """Hold a request back. Returns the PauseReason if the job must stop."""
        self.held.append(stopped)
        alike = sum(one.parameter == parameter for one in self.held)
        return self.verdict() if alike >= TRIP else None

    def succeeded(self, request: Request) -> list[StopAll]:
        """A request has succeeded. Returns those that were held back for a parameter that it has."""
        self._last = request
        if not self.held:
            return []
        body = decode(request.body)
        own = [one for one in self.held if one.parameter and holds(body, one.parameter)]
        self._accepted.update(one.parameter for one in own if one.parameter)
        self.held = [one for one in self.held if one not in own]
        return own

    def release(self) -> list[StopAll]:
        """Take out all that are held back."""
        held, self.held = self.held, []
        return held

    def verdict(self) -> PauseReason:
        """The PauseReason for the requests held back. There must be at least one."""
        parameters = tuple(dict.fromkeys(one.parameter for one in self.held if one.parameter))
        return rejected_parameters(parameters, self.held[-1].finding)


def rejected_parameters(parameters: tuple[str, ...], finding: Classification) -> PauseReason:
    """Why a job stops whose own lines have these parameters, which the model rejects as ``finding`` says."""
    return PauseReason(
        REJECTED_PARAMETER,
        translatable(
            "The model rejects %(parameters)s, which the lines of this job set themselves: %(message)s – "
            "These requests stay pending. Leave it out of all of them, or choose another model, then "
            "resume.",
            parameters=listed(parameters),
            message=recognised(finding.message, finding.http_status),
        ),
        parameters=parameters,
    )
