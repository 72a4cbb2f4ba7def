"""How the batch API of each provider of OpenAI's form differs from OpenAI's, with the source of each
difference (read 2026-11-28)."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class BatchManner:
    """``prefix`` is the path of the API; ``urls`` what a line and a batch may name; ``create`` the fields
    that a batch may be created with; ``windows`` the hours of a completion window, None: it has none.
    ``wrapped``: the name under which a batch stands in its answers; ``bare_list``: lists are arrays."""

    prefix: str = "/v1"
    auth: str = "bearer"
    query: dict[str, str] = field(default_factory=dict)
    purpose: str = "batch"
    urls: tuple[str, ...] = ("/v1/chat/completions",)
    max_lines: int = 50_000
    max_bytes: int = 200_000_000
    create: frozenset[str] = frozenset(
        {"input_file_id", "endpoint", "completion_window", "metadata"}
    )
    required: frozenset[str] = frozenset({"input_file_id", "endpoint", "completion_window"})
    windows: tuple[str, ...] | None = ("24h",)
    wrapped: str = ""
    wrapped_file: str = ""
    bare_list: bool = False
    upper: bool = False  # statuses in capitals, times in ISO 8601
    bare_lines: bool = False  # a line may lack method and url
    one_model: bool = True
    deployments: tuple[str, ...] = ()  # the only models that a line may name
    cancels: tuple[str, ...] = ("validating", "in_progress", "finalizing")
    pending_file: int = 0  # how often a file is looked at until it is processed
    last_is_user: bool = False
    status_key: str = "status"


def _hours(*days: int) -> tuple[str, ...]:
    return tuple(f"{24 * day}h" for day in days) + tuple(f"{day}d" for day in days)


_OPENAI_FIELDS = frozenset(
    {"input_file_id", "endpoint", "completion_window", "metadata", "output_expires_after"}
)
# https://platform.openai.com/docs/api-reference/batch/create
_OPENAI_URLS = (
    "/v1/responses",
    "/v1/chat/completions",
    "/v1/embeddings",
    "/v1/completions",
    "/v1/moderations",
    "/v1/images/generations",
    "/v1/images/edits",
    "/v1/videos",
)

MANNERS: dict[str, BatchManner] = {
    # https://platform.openai.com/docs/guides/batch
    "openai": BatchManner(urls=_OPENAI_URLS, create=_OPENAI_FIELDS),
}


def error(status: int, message: str, code: str | None, param: str | None) -> Any:
    """OpenAI's form."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
