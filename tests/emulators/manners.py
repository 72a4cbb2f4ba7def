"""How each provider of the gallery differs from OpenAI's API, with the source of each difference (read
2026-11-27 and 2026-11-28). Anthropic's own API has an emulator for itself (anthropic.py)."""

import time
from typing import Any
from urllib.parse import urlsplit

from simple_batch.services import provider_gallery

from .openai_compatible import Manner, openai_error
from .provider_answers import OVERLOADED, StreamManner, error_object, event


def google_error(status: int, message: str, code: str | None, param: str | None) -> Any:
    """An array with one object (google-gemini/gemini-cli #6454)."""
    words = {429: "RESOURCE_EXHAUSTED", 400: "INVALID_ARGUMENT", 404: "NOT_FOUND"}
    error = {"code": status, "message": message, "status": words.get(status, "UNKNOWN")}
    return [{"error": {**error, "details": []}}]


def google_waits(body: Any, wait_s: float) -> Any:
    """The delay is in the body (continuedev/continue #10062)."""
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{wait_s:g}s"}
    body[0]["error"]["details"] = [info]
    return body


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


# --- refusals by a limit: message, code, headers -------------------------------------------------------


def openai_limit(wait_s: float):
    """The words of OpenAI's users; the headers: https://community.openai.com/t/1268905, read 2026-11-29."""
    words = (
        "Rate limit reached for gpt-6-luna in organization org-x on requests per min (RPM): Limit 3, Used 3, "
        f"Requested 1. Please try again in {wait_s:g}s."
    )
    return words, "rate_limit_exceeded", counted(wait_s)


def counted(wait_s: float) -> dict[str, str]:
    """Headers that OpenAI and Groq have."""
    return {
        "Retry-After": f"{wait_s:g}",
        "x-ratelimit-limit-requests": "3",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": f"{wait_s:g}s",
    }


def azure_limit(wait_s: float):
    """The words: weaviate/weaviate #3095, read 2026-11-29; the header: openai-python, _base_client.py."""
    words = (
        "Requests to the ChatCompletions_Create Operation under Azure OpenAI API have exceeded call rate "
        f"limit of your current OpenAI S0 pricing tier. Please retry after {wait_s:g} seconds."
    )
    return words, "429", {"retry-after-ms": f"{wait_s * 1000:g}"}


def gemini_limit(wait_s: float):
    """continuedev/continue #10062: no header says how long."""
    words = (
        "You exceeded your current quota, please check your plan and billing details. Please retry in "
        f"{wait_s:g}s."
    )
    return words, None, {}


def openrouter_limit(wait_s: float):
    """Epoch milliseconds: engine/rate_limit_headers.py."""
    reset = f"{(time.time() + wait_s) * 1000:.0f}"
    headers = {"X-RateLimit-Limit": "20", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}
    return "Rate limit exceeded: free-models-per-min. ", None, headers


def plain_limit(words: str, code: str | None, **more: str):
    """A refusal that says nothing of a wait, in a provider's own words."""
    return lambda wait_s: (words, code, more)


def header_limit(words: str, code: str | None, name: str = "Retry-After"):
    """The same with a header of that name, in seconds."""
    return lambda wait_s: (words, code, {name: f"{wait_s:g}"})


def groq_limit(wait_s: float):
    """https://dev.to/vectle/groq-429s-your-retry-loop-is-blind-read-the-headers-instead-l0j, read 2026-11-29."""
    words = (
        f"Rate limit reached for model `x` on requests per minute. Please try again in {wait_s:g}s."
    )
    return words, "rate_limit_exceeded", counted(wait_s)


# --- errors within a stream ------------------------------------------------------------------------------


def named_error() -> bytes:
    """An event of the type error: Groq (groq-python PR #119), Hugging Face, Azure."""
    return event({"error": {"message": OVERLOADED, "type": "server_error"}}, "error")


def bare_error() -> bytes:
    """Gemini: JSON that is no event (vercel/ai #5217)."""
    error = f'"code": 503,\n    "message": "{OVERLOADED}",\n    "status": "UNAVAILABLE"'
    return f'{{\n  "error": {{\n    {error}\n  }}\n}}\n'.encode()


def error_field() -> bytes:
    """llama.cpp until September 2025 (ggml-org/llama.cpp PR #16109), with the end that it sends behind it
    (coddy-project/coddy-agent PR #106)."""
    text = f'{{"code":503,"message":"{OVERLOADED}","type":"unavailable_error"}}'
    return f"error: {text}\n\ndata: [DONE]\n\n".encode()


def error_beside_choices() -> bytes:
    """OpenRouter (https://openrouter.ai/docs/api/reference/streaming, read 2026-11-29)."""
    choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error"}
    error = {"code": "server_error", "message": OVERLOADED}
    head = {"id": "gen-1", "object": "chat.completion.chunk", "created": 7, "model": "m"}
    return event({**head, "provider": "OpenAI", "error": error, "choices": [choice]})


def base_response() -> bytes:
    """MiniMax (https://platform.minimax.io/docs/api-reference/errorcode.md, read 2026-11-29; edenai-apis
    PR #360)."""
    status = {"status_code": 1033, "status_msg": OVERLOADED}
    return event(
        {"id": "1", "object": "chat.completion.chunk", "choices": None, "base_resp": status}
    )


def flat_error() -> bytes:
    """SiliconFlow, where the object stands alone (CherryHQ/cherry-studio #4541)."""
    return event({"code": 50508, "message": OVERLOADED, "data": None})


def reason_alone() -> bytes:
    """Zhipu: a finish reason (promptfoo PR #9905, litellm PR #24373)."""
    return event({"choices": [{"index": 0, "delta": {}, "finish_reason": "network_error"}]})


def text_in_event() -> bytes:
    """xAI: the error is a text (n8n #14581)."""
    return event({"code": "The service is currently unavailable", "error": OVERLOADED})


def failed_response() -> bytes:
    """Perplexity: the event of a response that has failed (langchain-perplexity,
    PerplexityResponsesStreamError, read 2026-11-29)."""
    error = {"code": "server_error", "message": OVERLOADED}
    response = {
        "id": "resp_1",
        "object": "response",
        "status": "failed",
        "error": error,
        "output": [],
    }
    return event({"type": "response.failed", "response": response}, "response.failed")


# --- requests refused for their content: status, body --------------------------------------------------

FILTERED = (
    "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. Please "
    "modify your prompt and retry."
)
# openai/openai-agents-python #806
_AZURE_FILTER = {
    "error": {
        "message": FILTERED,
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {
            "code": "ResponsibleAIPolicyViolation",
            "content_filter_result": {"jailbreak": {"detected": True, "filtered": True}},
        },
    }
}
# UKGovernmentBEIS/inspect_ai PR #2267
_XAI_FILTER = {
    "code": "The caller does not have permission to execute the specified operation",
    "error": "Content violates usage guidelines. Team: t-1, API key ID: k-1, Model: grok-4-0709, Failed check: "
    "SAFETY_CHECK_TYPE_BIO",
}
# https://help.aliyun.com/zh/model-studio/error-code, read 2026-11-27
_DASHSCOPE_FILTER = {
    "error": {
        "code": "data_inspection_failed",
        "param": None,
        "message": "Input data may contain inappropriate content.",
        "type": "data_inspection_failed",
    }
}
# https://docs.bigmodel.cn/cn/guide/platform/securityaudit, read 2026-11-29
_ZHIPU_FILTER = {
    "contentFilter": [{"level": 1, "role": "user"}],
    "error": {
        "code": "1301",
        "message": "系统检测到输入或生成内容可能包含不安全或敏感内容，请您避免输入易产生敏感内容的提示语，感谢您的配合。",
    },
}
# https://openrouter.ai/docs/api/reference/errors-and-debugging, read 2026-11-29
_OPENROUTER_FILTER = {
    "error": {
        "code": 403,
        "message": 'openai/gpt-6 requires moderation on OpenAI. Your input was flagged for "violence".',
        "metadata": {
            "reasons": ["violence"],
            "flagged_input": "forbidden",
            "provider_name": "OpenAI",
        },
    }
}


def _refused(message: str, code: str | None, status: int = 400) -> tuple[int, Any]:
    return status, openai_error(status, message, code, None)


# alan-turing-institute/t0-1 #69
_OPENAI_FILTER = _refused(
    "Invalid prompt: your prompt was flagged as potentially violating our usage policy. Please try again with "
    "a different prompt.",
    "invalid_prompt",
)
_COMMENT = (
    b": keep-alive\n\n"  # https://api-docs.deepseek.com/quick_start/rate_limit, read 2026-11-29
)
_DASHSCOPE = {
    "limit": plain_limit("Requests rate limit exceeded, please try again later.", "limit_requests"),
    "says_wait": False,
    "forbidden": (400, _DASHSCOPE_FILTER),
}
_AZURE = {
    "auth": "api-key",
    "limit": azure_limit,
    "forbidden": (400, _AZURE_FILTER),
    # the first chunk has no choices (learn.microsoft.com/answers/questions/1533887)
    "stream": StreamManner(first={"prompt_filter_results": []}, error=named_error),
}

MANNERS: dict[str, Manner] = {
    # reasoning models: https://github.com/assafelovic/gpt-researcher/pull/1485
    "openai": Manner(
        rejected=unsupported("max_tokens"),
        limit=openai_limit,
        forbidden=_OPENAI_FILTER,
        # the words of ChatGPT's backend: leookun/cursor-byok #14
        stream_only="Stream must be set to true",
    ),
    # https://learn.microsoft.com/azure/foundry/openai/api-version-lifecycle
    "azure": Manner(rejected=unsupported("max_tokens"), **_AZURE),
    # https://learn.microsoft.com/azure/ai-services/openai/reference; openai-python lib/azure.py
    "azure-dated": Manner(query={"api-version": "2024-10-21"}, deployments=True, **_AZURE),
    # names begin with models/: https://ai.google.dev/api/compatibility
    "gemini": Manner(
        models=("models/gemini-2.5-flash", "models/gemini-embedding-001"),
        error=google_error,
        limit=gemini_limit,
        error_waits=google_waits,
        # its own finish reasons: HKUDS/Vibe-Trading PR #308
        forbidden=(200, "PROHIBITED_CONTENT"),
        beside=True,
        # each call has the index 0: engine/stream/tool_calls.py
        stream=StreamManner(usage="finish", tools="zero", error=bare_error, filtered="SAFETY"),
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
        limit=plain_limit("Requests rate limit exceeded", "1300"),
        says_wait=False,
        # calls come whole: microsoft/semantic-kernel #6316
        stream=StreamManner(usage="finish", reasoning="parts", tools="whole"),
        wrong_key=(401, "Unauthorized"),
    ),
    "xai": Manner(
        says_wait=False,
        forbidden=(403, _XAI_FILTER),
        beside=True,
        stream=StreamManner(error=text_in_event),
    ),
    # only JSON mode: https://api-docs.deepseek.com/guides/json_mode
    "deepseek": Manner(
        schema=False,
        limit=plain_limit("Rate limit reached", "rate_limit"),
        says_wait=False,
        # 666ghj/BettaFish #108
        forbidden=_refused("Content Exists Risk", "invalid_request_error"),
        stream=StreamManner(usage="finish", before=_COMMENT),
    ),
    # chat completions are gone: danielmiessler/Fabric PR #2276
    "perplexity": Manner(
        says_wait=False,
        stream=StreamManner(error=failed_response),
    ),
    "dashscope": Manner(**_DASHSCOPE),
    "dashscope-batch-chat": Manner(**_DASHSCOPE),
    # code 1302 and its words: https://docs.bigmodel.cn/cn/api/rate-limit
    "zhipu": Manner(
        limit=plain_limit("您的账户已达到速率限制,请您控制请求频率", "1302"),
        says_wait=False,
        forbidden=(400, _ZHIPU_FILTER),
        stream=StreamManner(
            usage="finish", tools="whole", error=reason_alone, filtered="sensitive"
        ),
    ),
    # https://github.com/anomalyco/opencode/issues/27796; usage: earendil-works/pi #2017
    "moonshot": Manner(
        rejected={"temperature": "invalid temperature: only 1 is allowed for this model"},
        rejected_code=None,
        limit=lambda wait_s: (
            f"max RPM: 3, please try again after {wait_s:g} seconds",
            "rate_limit_reached_error",
            {},
        ),
        # https://platform.kimi.com/docs/api/errors, read 2026-11-29
        forbidden=_refused(
            "The request was rejected because it was considered high risk", "content_filter"
        ),
        stream=StreamManner(usage="choice"),
    ),
    # https://www.volcengine.com/docs/82379/1299023, read 2026-11-29
    "volcengine": Manner(
        limit=plain_limit(
            "The Requests Per Minute (RPM) limit of the associated endpoint for your account has been exceeded.",
            "RateLimitExceeded.EndpointRPMExceeded",
        ),
        says_wait=False,
        forbidden=_refused(
            "The request failed because the input text may contain sensitive information.",
            "InputTextSensitiveContentDetected",
        ),
    ),
    # https://platform.minimax.io/docs/api-reference/errorcode.md, read 2026-11-29
    "minimax": Manner(
        limit=plain_limit("rate limit exceeded(RPM)", "1002"),
        says_wait=False,
        forbidden=(
            422,
            {
                "base_resp": {"status_code": 1026, "status_msg": "input new_sensitive"},
                "choices": None,
            },
        ),
        stream=StreamManner(usage="finish", reasoning="tags", error=base_response, done=False),
    ),
    "siliconflow": Manner(
        error=vllm_error,
        says_wait=False,
        stream=StreamManner(usage="each", error=flat_error),
    ),
    "openrouter": Manner(
        models_need_key=False,
        limit=openrouter_limit,
        forbidden=(403, _OPENROUTER_FILTER),
        stream=StreamManner(
            reasoning="reasoning", before=b": OPENROUTER PROCESSING\n\n", error=error_beside_choices
        ),
    ),
    "groq": Manner(
        rejected=_GROQ,
        limit=groq_limit,
        stream=StreamManner(
            usage="x_groq", reasoning="reasoning", tools="whole", error=named_error
        ),
    ),
    # the list is an array: https://docs.together.ai/reference/models (could not be opened)
    "together": Manner(
        models_shape=lambda models: models,
        says_wait=False,
        stream=StreamManner(usage="finish", reasoning="reasoning"),
    ),
    "fireworks": Manner(
        says_wait=False,
        stream=StreamManner(usage="finish"),
    ),
    "cerebras": Manner(
        rejected=_CEREBRAS,
        rejected_code="wrong_api_format",
        # anomalyco/opencode #7463
        limit=plain_limit("Tokens per minute limit exceeded - too many tokens processed.", None),
        says_wait=False,
        stream=StreamManner(usage="finish", reasoning="reasoning"),
    ),
    "huggingface": Manner(
        error=text_error,
        models_need_key=False,
        stream=StreamManner(error=named_error),
        says_wait=False,
    ),
    "nvidia": Manner(
        error=detail_error,
        models_need_key=False,
        says_wait=False,
    ),
    # owners of models: the servers' own code (see services/local_servers.py)
    "ollama": Manner(
        auth="none",
        owner="library",
        says_wait=False,
        stream=StreamManner(reasoning="reasoning", tools="whole"),
    ),
    "vllm": Manner(auth="none", owner="vllm", error=vllm_error, says_wait=False),
    "sglang": Manner(auth="none", owner="sglang", error=vllm_error, says_wait=False),
    # zendev-sh/goai PR #110
    "lmstudio": Manner(
        auth="none",
        owner="organization_owner",
        error=text_error,
        says_wait=False,
        stream=StreamManner(
            error=lambda: event({"error": {"message": OVERLOADED}, "message": OVERLOADED}, "error")
        ),
    ),
    "llama.cpp": Manner(
        auth="none",
        owner="llamacpp",
        error=plain_error,
        says_wait=False,
        stream=StreamManner(error=error_field),
    ),
    # the provider's own headers pass through: engine/rate_limit_headers.py
    "litellm": Manner(
        owner="openai",
        limit=header_limit(
            "litellm.RateLimitError: RateLimitError: OpenAIException - Rate limit reached",
            "429",
            "llm_provider-retry-after",
        ),
        forbidden=_refused(
            "litellm.BadRequestError: litellm.ContentPolicyViolationError: AzureException - "
            + FILTERED,
            "400",
        ),
        stream=StreamManner(error=lambda: error_object(param=None, code="503")),
    ),
    "custom": Manner(says_wait=False),
}
for _id, _manner in MANNERS.items():
    _entry = provider_gallery.get(_id)
    _manner.prefix = urlsplit(_entry.base_url).path or "/v1"
    _manner.chat = "/v1/chat/completions" in _entry.endpoints
    _manner.responses = "/v1/responses" in _entry.endpoints
    _manner.embeddings = "/v1/embeddings" in _entry.endpoints
