"""How the batch API of each provider of OpenAI's form differs from OpenAI's, with the source of each
difference (read 2026-11-28). None was tried on the real service."""

from dataclasses import dataclass, field

HOUR, DAY = 3_600, 86_400


@dataclass(frozen=True)
class BatchManner:
    """``prefix`` is the path of the API; ``urls`` what a line and a batch may name; ``create`` the fields
    that a batch can be created with, ``required`` those that it needs; ``windows`` are the shortest and the
    longest completion window in hours. ``wrapped``: the name under which the answers to calls that create
    and cancel hold a batch; ``wrapped_file`` the same of an upload."""

    prefix: str = "/v1"
    auth: tuple[str, ...] = ("bearer",)
    query: dict[str, str] = field(default_factory=dict)
    purpose: str = "batch"
    upload: str = "/files"
    upload_fields: tuple[str, ...] = ()  # needed besides purpose and file
    may_expire_files: bool = False
    urls: tuple[str, ...] = ("/v1/chat/completions",)
    max_lines: int = 50_000
    max_bytes: int = 100_000_000
    max_inputs: int = 50_000  # of embeddings, in all lines
    create: tuple[str, ...] = ("input_file_id", "endpoint", "completion_window", "metadata")
    required: tuple[str, ...] = ("input_file_id", "endpoint", "completion_window")
    windows: tuple[int, int] = (24, 24)
    keeps_output_s: tuple[int, int] = (HOUR, 30 * DAY)
    wrapped: str = ""
    wrapped_file: str = ""
    bare_list: bool = False
    upper: bool = False  # statuses in capitals, times in ISO 8601, no counts
    bare_lines: bool = False  # a line may lack method and url
    models: tuple[str, ...] = ()  # the only ones that lines may name; empty: any
    cancels: tuple[str, ...] = ("validating", "in_progress", "finalizing")
    pending_looks: int = 0  # how often a file is asked about until it is processed
    last_is_user: bool = False
    queued: str = "validating"  # the first status
    counts_when: tuple[str, ...] = ()  # statuses with counts; empty: all
    expires: bool = True
    deletes_input: bool = False  # unless told not to
    cancel_delete: bool = False  # DELETE on the batch cancels it, and nothing else does
    bare_answers: bool = False  # a result is the answer, without status and body around it


_MORE = ("input_file_id", "endpoint", "completion_window", "metadata", "output_expires_after")
# https://platform.openai.com/docs/api-reference/batch/create
_ALL_URLS = (
    "/v1/responses",
    "/v1/chat/completions",
    "/v1/embeddings",
    "/v1/completions",
    "/v1/moderations",
    "/v1/images/generations",
    "/v1/images/edits",
    "/v1/videos",
)
# https://github.com/MicrosoftDocs/azure-ai-docs, articles/foundry/openai/includes/batch/batch-python.md:
# files expire after 14 to 30 days; “jobs taking longer than 24 hours will continue to execute”
_AZURE = {
    "auth": ("api-key", "bearer"),
    "create": _MORE,
    "max_bytes": 200_000_000,
    "may_expire_files": True,
    "keeps_output_s": (14 * DAY, 30 * DAY),
    "models": ("m-1",),  # the deployments
    "expires": False,
    "pending_looks": 1,
}

MANNERS: dict[str, BatchManner] = {
    # https://platform.openai.com/docs/guides/batch
    "openai": BatchManner(
        urls=_ALL_URLS, create=_MORE, max_bytes=200_000_000, may_expire_files=True
    ),
    # https://learn.microsoft.com/azure/foundry/reference/rest/batches-create-batch
    "azure": BatchManner(prefix="/openai/v1", urls=_ALL_URLS, **_AZURE),
    # the same, by dated versions: https://learn.microsoft.com/azure/ai-services/openai/how-to/batch
    "azure-dated": BatchManner(
        prefix="/openai",
        query={"api-version": "2024-10-21"},
        urls=("/chat/completions",),
        **_AZURE,
    ),
    # https://help.aliyun.com/zh/model-studio/batch-interfaces-compatible-with-openai
    "dashscope": BatchManner(
        prefix="/compatible-mode/v1",
        urls=("/v1/chat/completions", "/v1/embeddings", "/v1/chat/ds-test"),
        max_bytes=500_000_000,
        windows=(24, 336),
    ),
    # https://docs.bigmodel.cn/api-reference, 批处理 API: no window, the input is deleted unless told not to
    "zhipu": BatchManner(
        prefix="/api/paas/v4",
        urls=("/v4/chat/completions",),
        create=("input_file_id", "endpoint", "auto_delete_input_file", "metadata"),
        required=("input_file_id", "endpoint"),
        deletes_input=True,
    ),
    # https://github.com/api-evangelist/kimi-moonshot, openapi/kimi-moonshot-batch-api-openapi.yml: 12 hours
    # to 7 days
    "moonshot": BatchManner(windows=(12, 168)),
    # https://docs.siliconflow.cn/cn/api-reference/batch/create-batch and …/upload-file: in_queue at first,
    # no counts then, the file within data; …/guides/batch: 5,000 lines, 1 GB, the user's message at the end
    "siliconflow": BatchManner(
        max_lines=5_000,
        max_bytes=1_000_000_000,
        create=("input_file_id", "endpoint", "completion_window", "metadata", "replace"),
        windows=(24, 336),
        wrapped_file="data",
        last_is_user=True,
        queued="in_queue",
        counts_when=("completed", "expired", "cancelled"),
    ),
    # https://github.com/groq/groq-python, src/groq/types/batch_create_params.py: from 24h to 7d, 100 MB
    "groq": BatchManner(prefix="/openai/v1", windows=(24, 168)),
    # https://inference-docs.cerebras.ai/capabilities/batch, …/api-reference/batch/cancel-batch (both read
    # 2026-11-29); the least number of requests, 10, is not enforced here
    "cerebras": BatchManner(max_bytes=200_000_000, cancel_delete=True, bare_answers=True),
    # https://docs.together.ai/reference/batch-create, …/batch-list, …/upload-file: {job}, an array, capitals,
    # ISO dates, no metadata; …/docs/inference/batch/tutorial: lines of custom_id and body
    "together": BatchManner(
        purpose="batch-api",
        upload="/files/upload",
        upload_fields=("file_name",),
        create=("input_file_id", "endpoint", "completion_window", "priority", "model_id"),
        required=("input_file_id", "endpoint"),
        wrapped="job",
        bare_list=True,
        upper=True,
        bare_lines=True,
        cancels=("validating", "in_progress"),
    ),
}
