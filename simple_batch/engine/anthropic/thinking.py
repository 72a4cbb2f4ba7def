"""``reasoning_effort`` as the Messages API has it: adaptive thinking with an effort, or a budget of tokens
for models before Claude 4.6.

Sources: https://platform.claude.com/docs/en/build-with-claude/effort and …/thinking (read 2026-11-28);
types/thinking_config_*_param.py of the package anthropic 2.14.0 (a budget of at least 1,024 tokens and less
than max_tokens). The budgets are LiteLLM's
(https://docs.litellm.ai/docs/providers/anthropic, read 2026-11-28).
"""

from typing import Any

from ...core.stored_messages import TOO_FEW_TO_THINK
from .model_facts import ModelFacts
from .no_counterpart import field, invalid

LEAST_BUDGET = 1_024  # tokens
_EFFORTS = {"minimal": "low"}  # OpenAI's lowest
_LEVELS = ("minimal", "low", "medium", "high", "xhigh", "max")
_BUDGETS = {"minimal": 1_024, "low": 1_024, "medium": 2_048, "high": 4_096, "xhigh": 8_192}
_MOST = 16_384


def move_effort(fields: dict[str, Any], body: dict[str, Any], facts: ModelFacts) -> None:
    """Take ``reasoning_effort`` out of a chat's ``fields`` and put what it means into a ``body``, whose
    max_tokens is set. A ``thinking`` of the API's own form is kept. Raises NoCounterpart."""
    effort = fields.pop("reasoning_effort", None)
    thinking = fields.pop("thinking", None)
    if thinking is not None:
        body["thinking"] = thinking
    if effort is None:
        return
    if effort == "none":
        body.setdefault("thinking", {"type": "disabled"})
        return
    if effort not in _LEVELS:
        raise field(f'reasoning_effort "{effort}"')
    if facts.effort:
        body["output_config"] = {
            "effort": _EFFORTS.get(effort, effort),
            **body.get("output_config", {}),
        }
    if "thinking" not in body:
        body["thinking"] = {"type": "adaptive"} if facts.adaptive else _budget(effort, body)


def _budget(effort: str, body: dict[str, Any]) -> dict[str, Any]:
    limit = body["max_tokens"]
    if not isinstance(limit, int) or limit <= LEAST_BUDGET:
        raise invalid("reasoning_effort", TOO_FEW_TO_THINK(least=f"{LEAST_BUDGET:,}"))
    # half of the tokens at most: the answer needs some too
    tokens = max(LEAST_BUDGET, min(_BUDGETS.get(effort, _MOST), limit // 2))
    return {"type": "enabled", "budget_tokens": tokens}


def thinks(body: dict[str, Any]) -> bool:
    """Whether a body asks for thinking: then no tool can be forced."""
    thinking = body.get("thinking")
    return isinstance(thinking, dict) and thinking.get("type") != "disabled"
