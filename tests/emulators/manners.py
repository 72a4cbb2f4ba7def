"""How each provider of the gallery differs from OpenAI's API, with the source of each difference (read
2026-11-27 and 2026-11-28). Anthropic's own API has an emulator for itself (anthropic.py)."""

from typing import Any
from urllib.parse import urlsplit

from simple_batch.services import provider_gallery

from .openai_compatible import Manner


def google_error(status: int, message: str, code: str | None, param: str | None) -> Any:
    """An array with one object; the delay is in the body (continuedev/continue #10062, google-gemini/
    gemini-cli #6454)."""
    details = []
    if status == 429:
        details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "46s"}]
    words = {429: "RESOURCE_EXHAUSTED", 400: "INVALID_ARGUMENT", 404: "NOT_FOUND"}
    error = {"code": status, "message": message, "status": words.get(status, "UNKNOWN")}
    return [{"error": {**error, "details": details}}]


def mistral_error(status: int, message: str, code: str | None, param: str | None) -> Any:
    """The package mistralai, models/sdkerror.py and httpvalidationerror.py: 422 has a list of details,
    the others an object with message."""
    if status == 422:
        detail = {"type": "extra_forbidden", "loc": ["body", param], "msg": message, "input": 1}
        return {"detail": [detail]}
    return {"object": "error", "message": message, "type": "invalid_request", "code": code}


def plain_error(status: int, message: str, code: str | None, param: str | None) -> Any:
    """llama.cpp: tools/server, format_error_response; code is the status."""
    return {"error": {"code": status, "message": message, "type": "invalid_request_error"}}


def text_error(status: int, message: str, code: str | None, param: str | None) -> Any:
    """The error is a text: Hugging Face's router and Ollama's own API (huggingface_hub, inference/
    _common.py; ollama, api/types.go)."""
    return {"error": message}


def vllm_error(status: int, message: str, code: str | None, param: str | None) -> Any:
    """vLLM and SGLang: entrypoints/openai/protocol.py, ErrorResponse."""
    return {
        "object": "error",
        "message": message,
        "type": "BadRequestError",
        "param": param,
        "code": status,
    }


def detail_error(status: int, message: str, code: str | None, param: str | None) -> Any:
    """NVIDIA and other gateways made with FastAPI: {"detail": …}."""
    return {"status": status, "title": "Bad Request", "detail": message}


def unsupported(*names: str) -> dict[str, str]:
    """OpenAI's words (gpt-researcher PR #1485, YPrompt #26)."""
    return {
        name: f"Unsupported parameter: '{name}' is not supported with this model." for name in names
    }


# Groq's fields (https://console.groq.com/docs/openai); Cerebras' (https://hexdocs.pm/req_llm/cerebras.html)
_GROQ = {
    name: f"property '{name}' is unsupported" for name in ("logprobs", "top_logprobs", "logit_bias")
}
_CEREBRAS = {
    name: f"property '{name}' is unsupported"
    for name in ("frequency_penalty", "presence_penalty", "logit_bias")
}
_GEMINI_LIMIT = (
    "You exceeded your current quota, please check your plan and billing details. Please retry in "
    "46.1s."
)
_OPENAI_LIMIT = (
    "Rate limit reached for gpt-6-luna in organization org-x on requests per min (RPM): Limit 3, Used 3, "
    "Requested 1. Please try again in 20s."
)
_DASHSCOPE_LIMIT = "Requests rate limit exceeded, please try again later."

MANNERS: dict[str, Manner] = {
    # reasoning models: https://github.com/assafelovic/gpt-researcher/pull/1485
    "openai": Manner(
        rejected=unsupported("max_tokens"),
        limit=(429, _OPENAI_LIMIT, "rate_limit_exceeded", {"Retry-After": "20"}),
    ),
    # https://learn.microsoft.com/azure/foundry/openai/api-version-lifecycle
    "azure": Manner(auth="api-key", rejected=unsupported("max_tokens")),
    # https://learn.microsoft.com/azure/ai-services/openai/reference; openai-python lib/azure.py
    "azure-dated": Manner(auth="api-key", query={"api-version": "2024-10-21"}, deployments=True),
    # names begin with models/: https://ai.google.dev/api/compatibility
    "gemini": Manner(
        models=("models/gemini-2.5-flash", "models/gemini-embedding-001"),
        error=google_error,
        limit=(429, _GEMINI_LIMIT, None, {}),
        wrong_key=(400, "API key not valid. Please pass a valid API key."),
    ),
    # the package mistralai; stream_options: CherryHQ/cherry-studio, config/providers.ts
    "mistral": Manner(
        rejected={
            "stream_options": "Extra inputs are not permitted",
            "seed": "Extra inputs are not permitted",
        },
        rejected_status=422,
        error=mistral_error,
        limit=(429, "Requests rate limit exceeded", "1300", {}),
        wrong_key=(401, "Unauthorized"),
    ),
    "xai": Manner(),
    # only JSON mode: https://api-docs.deepseek.com/guides/json_mode
    "deepseek": Manner(schema=False, limit=(429, "Rate limit reached", "rate_limit", {})),
    # chat completions are gone: danielmiessler/Fabric PR #2276
    "perplexity": Manner(),
    "dashscope": Manner(limit=(429, _DASHSCOPE_LIMIT, "limit_requests", {})),
    "dashscope-batch-chat": Manner(limit=(429, _DASHSCOPE_LIMIT, "limit_requests", {})),
    # code 1302 and its words: https://docs.bigmodel.cn/cn/api/rate-limit
    "zhipu": Manner(limit=(429, "您的账户已达到速率限制,请您控制请求频率", "1302", {})),
    # https://github.com/anomalyco/opencode/issues/27796
    "moonshot": Manner(
        rejected={"temperature": "invalid temperature: only 1 is allowed for this model"},
        rejected_code=None,
        limit=(429, "max RPM: 3, please try again after 1 seconds", "rate_limit_reached_error", {}),
    ),
    "volcengine": Manner(limit=(429, "rate limit", "RateLimitExceeded", {})),
    "minimax": Manner(),
    "siliconflow": Manner(error=vllm_error),
    "openrouter": Manner(models_need_key=False, limit=(429, "Rate limit exceeded", None, {})),
    "groq": Manner(
        rejected=_GROQ,
        limit=(429, "Rate limit reached for model", "rate_limit_exceeded", {"Retry-After": "2"}),
    ),
    # the list is an array: https://docs.together.ai/reference/models (could not be opened)
    "together": Manner(models_shape=lambda models: models),
    "fireworks": Manner(),
    "cerebras": Manner(rejected=_CEREBRAS, rejected_code="wrong_api_format"),
    "huggingface": Manner(error=text_error, models_need_key=False),
    "nvidia": Manner(error=detail_error, models_need_key=False),
    # owners of models: the servers' own code (see services/local_servers.py)
    "ollama": Manner(auth="none", owner="library"),
    "vllm": Manner(auth="none", owner="vllm", error=vllm_error),
    "sglang": Manner(auth="none", owner="sglang", error=vllm_error),
    "lmstudio": Manner(auth="none", owner="organization_owner", error=text_error),
    "llama.cpp": Manner(auth="none", owner="llamacpp", error=plain_error),
    "litellm": Manner(owner="openai"),
    "custom": Manner(),
}
for _id, _manner in MANNERS.items():
    _entry = provider_gallery.get(_id)
    _manner.prefix = urlsplit(_entry.base_url).path or "/v1"
    _manner.chat = "/v1/chat/completions" in _entry.endpoints
    _manner.responses = "/v1/responses" in _entry.endpoints
    _manner.embeddings = "/v1/embeddings" in _entry.endpoints
