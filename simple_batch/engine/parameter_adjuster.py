"""Decides what to do when a call is refused because of one of its parameters.

A parameter of the config or of the job is sent under another name that the endpoint has, else left out.
So is the role of the system message changed, which says the same by another name. What the user's own
line says may get another name, but is never left out: the job stops and asks (parameter_guard.py).

Each decision is learned once per model and endpoint, and then holds for all calls; a request that was
sent before it was learned is only sent again.
"""

from collections.abc import Callable, Iterator
from typing import Protocol

import msgspec

from ..core.clock import now_ms
from ..core.domain import Adjust, Adjustment, Defaults, Request
from ..core.max_tokens import NAMES as LIMITS
from .adjustments import has_role, of_call, other_role
from .body_paths import Fields, decode, holds, value_at
from .classify import Classification
from .endpoint_parameters import instead_of, moved
from .rejected_parameters import ROLE, plain

MOST = 8  # adjustments of one model and endpoint
_REASON = 300  # characters
# a name that an API has for what the body calls otherwise: Anthropic (docs.anthropic.com/en/api/messages),
# Gemini's generationConfig (ai.google.dev/api/generate-content), Ollama (docs.ollama.com/api)
_ALIASES = {
    "stop_sequences": ("stop",),
    "thinking": ("reasoning_effort", "reasoning"),
    "thinking_config": ("reasoning_effort", "reasoning"),
    "thinking_level": ("reasoning_effort", "reasoning.effort"),
    "thinking_budget": ("reasoning_effort", "reasoning"),
    "output_config.effort": ("reasoning_effort", "reasoning.effort"),
    "output_config": ("reasoning_effort", "reasoning"),
    "think": ("reasoning_effort",),
    "effort": ("reasoning_effort", "reasoning.effort"),
    "reasoning_effort": ("reasoning.effort",),
    "verbosity": ("text.verbosity",),
    "response_format": ("text.format",),
    "response_schema": ("response_format",),
    "max_output_tokens": ("max_completion_tokens", "max_tokens"),
    "max_tokens": ("max_completion_tokens", "max_output_tokens"),
    "candidate_count": ("n",),
}


class Origin:
    """Where a parameter comes from."""

    CONFIG, JOB, LINE = "config", "job", "line"


class Adjusting(msgspec.Struct, frozen=True):
    """What to do with a refused request: it is sent again, or ``own`` is a parameter of its line
    that the model rejects."""

    own: str | None = None


AGAIN = Adjusting()


class Learner(Protocol):
    """Remembers adjustments."""

    def __call__(self, adjustment: Adjustment, origin: str) -> None:
        """Take up a new adjustment; ``origin`` is where its parameter comes from."""
        ...


class ParameterAdjuster:
    """``defaults()`` are those that requests are encoded with now."""

    def __init__(self, defaults: Callable[[], Defaults], learn: Learner):
        self._defaults = defaults
        self._learn = learn

    def treat(
        self, request: Request, sent: bytes, finding: Classification, asked: frozenset[str]
    ) -> Adjusting | None:
        """What to do about the failure of a request whose body was ``sent``; None if it is no
        rejected parameter. ``asked`` are fields that the job's schema asks for."""
        if finding.rejected is None:
            return None
        call = _Refused(request, decode(sent), finding, asked, self._defaults(), self._learn)
        if finding.rejected.role is not None:
            return call.treat_role(finding.rejected.role)
        return call.treat_names(finding.rejected.names, finding.rejected.one_of)


class _Refused:
    """One refused call."""

    def __init__(
        self,
        request: Request,
        body: Fields,
        finding: Classification,
        asked: frozenset[str],
        defaults: Defaults,
        learn: Learner,
    ):
        self._request = request
        self._body = body
        self._finding = finding
        self._asked = asked
        self._defaults = defaults
        self._learn = learn
        self._own = decode(request.body)
        self._model = _text(body.get("model"))
        self._known = of_call(defaults.adjustments, self._model, request.url)

    def treat_role(self, role: str) -> Adjusting | None:
        """Send messages of a rejected role with the one that says the same."""
        if not has_role(self._body, role) or any(one.to == role for one in self._known):
            return None
        known = any(one.action is Adjust.DEVELOPER_ROLE for one in self._known)
        to = other_role(role)
        return AGAIN if known or self._note(ROLE, Adjust.DEVELOPER_ROLE, to, Origin.LINE) else None

    def treat_names(self, names: tuple[str, ...], one_of: bool) -> Adjusting | None:
        """Handle the named parameters that the body has."""
        paths = list(dict.fromkeys(path for name in names for path in self._paths(name)))
        if one_of and len(paths) > 1:
            ours = [path for path in paths if self._own_name(path) is None]
            paths = [(ours or paths)[-1]]
        again, own = False, None
        for path in paths:
            if path.split(".")[0] in self._asked and not holds(self._own, path):
                continue
            name = self._own_name(path)
            if self._renamed(path, one_of, name is not None):
                again = True
            elif name is not None:
                own = own or name
            elif self._left_out(path):
                again = True
        return Adjusting(own) if own else AGAIN if again else None

    def _paths(self, name: str) -> Iterator[str]:
        """Where the body has a parameter that an error names."""
        for path in (name, plain(name), *_ALIASES.get(plain(name), ())):
            if holds(self._body, path):
                yield path
                return
        root, _, rest = plain(name).rpartition(".")
        if root and rest:  # generation_config.top_k
            yield from self._paths(rest)

    def _own_name(self, path: str) -> str | None:
        """The name by which the user's own line has a parameter; None if it is not the line's."""
        if holds(self._own, path):
            return path
        if self._request.max_tokens is not None and path in LIMITS:
            return path
        for one in self._known:
            if one.action is Adjust.RENAME and one.to == path and holds(self._own, one.parameter):
                return one.parameter
        return None

    def _renamed(self, path: str, one_of: bool, own: bool) -> bool:
        """Whether the value is sent under another name from now on."""
        if path == "reasoning" and holds(self._body, "reasoning.effort"):
            path = "reasoning.effort"
        learned = next((one.to for one in self._known if one.parameter == path and one.to), None)
        to = learned or instead_of(self._request.url, path)
        if to is None or self._says_otherwise(to, path):
            return False
        if learned is not None:
            return True
        if one_of or any(one.parameter == to or one.to == path for one in self._known):
            return False
        return self._note(path, Adjust.RENAME, to, Origin.LINE if own else self._origin(path))

    def _says_otherwise(self, to: str, path: str) -> bool:
        """Whether the body has another value under the new name already."""
        if not holds(self._body, to):
            return False
        return bool(value_at(self._body, to) != moved(path, to, value_at(self._body, path)))

    def _left_out(self, path: str) -> bool:
        if any(one.action is Adjust.LEAVE_OUT and one.parameter == path for one in self._known):
            return True
        return self._note(path, Adjust.LEAVE_OUT, None, self._origin(path))

    def _origin(self, path: str) -> str:
        names = {path.split(".")[0], path.rpartition(".")[2]}
        names |= {one.parameter for one in self._known if one.to == path}
        return Origin.JOB if names & self._defaults.own.keys() else Origin.CONFIG

    def _note(self, parameter: str, action: Adjust, to: str | None, origin: str) -> bool:
        """Learn it, unless there are too many already."""
        if len(self._known) >= MOST:
            return False
        adjustment = Adjustment(
            parameter,
            action,
            to,
            self._model,
            str(self._finding.message)[:_REASON],
            now_ms(),
            self._request.url,
        )
        self._learn(adjustment, origin)
        self._known = (*self._known, adjustment)
        return True


def _text(raw: msgspec.Raw | None) -> str:
    try:
        return msgspec.json.decode(raw, type=str) if raw is not None else ""
    except msgspec.ValidationError:
        return ""
