"""What differs between Claude models, read from their names.

Sources, all read 2026-11-28: the model pages below https://platform.claude.com/docs/en/models (max output
128K from Claude 4.6 on), https://platform.claude.com/docs/en/build-with-claude/thinking-troubleshooting
(adaptive thinking from 4.6 on, a budget up to 4.6), …/effort (from 4.6 on, and Opus 4.5),
…/structured-outputs (from 4.5 on), …/models/opus-5-5/whats-new-opus-5-5 (forced tool use is refused).
"""

import functools
import re
from typing import NamedTuple

_NAME = re.compile(
    r"claude-(?:(?P<line>[a-z]+)-)?(?P<major>\d)(?:[-.](?P<minor>\d)(?!\d))?(?!\d)", re.IGNORECASE
)
_UNNUMBERED = {"claude-mythos-preview": (4, 7)}  # by the thinking and the effort that it supports
_OTHER_MAX_TOKENS = 8_192  # of models that only speak Claude's API (DeepSeek, MiniMax, Moonshot, …)


class ModelFacts(NamedTuple):
    """``max_tokens`` is sent where neither a request nor its config sets a limit: the API requires one.
    It is the most that the model answers. ``formats``: it has structured outputs; ``forces``: it can be
    made to call a tool; ``adaptive``: it decides itself how much it thinks, else it gets a budget of
    tokens; ``effort``: it has the parameter of this name."""

    max_tokens: int = _OTHER_MAX_TOKENS
    formats: bool = False
    forces: bool = True
    adaptive: bool = False
    effort: bool = False


@functools.lru_cache(256)
def facts_of(model: str) -> ModelFacts:
    """The facts about a model; of another than Claude, what each endpoint of this API should take."""
    line, version = _read(model)
    if version is None:
        return ModelFacts()
    return ModelFacts(
        _max_tokens(line, version),
        formats=version >= (4, 5),
        # with thinking, which is on from Claude 5 on, forcing a tool is an error
        forces=version < (5, 0),
        adaptive=version >= (4, 6),
        effort=version >= (4, 6) or (line, version) == ("opus", (4, 5)),
    )


def _read(model: str) -> tuple[str, tuple[int, int] | None]:
    for name, version in _UNNUMBERED.items():
        if name in model.lower():
            return "", version
    found = _NAME.search(model)
    if found is None:
        return "", None
    return (found["line"] or "").lower(), (int(found["major"]), int(found["minor"] or 0))


def _max_tokens(line: str, version: tuple[int, int]) -> int:
    if version >= (4, 6):
        return 128_000
    if version >= (4, 5):
        return 64_000
    if version >= (3, 7):
        return 32_000 if line == "opus" else 64_000
    return 8_192 if version >= (3, 5) else 4_096
