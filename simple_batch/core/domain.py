"""The domain types, as frozen structs and enums.

Everything here is plain data: no Flask, no Peewee, no network. Times are
milliseconds since the epoch (UTC), money is an integer of a billionth
(nano) of the currency's unit, bodies are JSON as bytes.
"""

from enum import StrEnum
from typing import Any, Literal

import msgspec

from .call_prices import Prices, Usage
from .messages import Message, restored, translatable
from .price_rules import BATCH

EMBEDDINGS = "/v1/embeddings"


class JobStatus(StrEnum):
    """The state of a job; the values are a contract (docs/commands.md)."""

    VALIDATING = "validating"
    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


FINAL_STATUSES = frozenset(
    {JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.EXPIRED}
)
ACTIVE_STATUSES = frozenset(JobStatus) - FINAL_STATUSES


def batch_id(job_id: int) -> str:
    """A job's id in the Batch API."""
    return f"batch_{job_id}"


class RequestStatus(StrEnum):
    """The state of one request of a job."""

    PENDING = "pending"
    IN_FLIGHT = "in_flight"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Role(StrEnum):
    """The permissions of a user. Each role includes those of the roles before it."""

    VIEWER = "viewer"  # looks at every job, changes nothing
    OPERATOR = "operator"  # makes and runs jobs, and sees their own
    ADMIN = "admin"  # everything: every job, API configs, users, the audit log

    @property
    def rank(self) -> int:
        """From 0; a higher one includes the lower ones."""
        return list(Role).index(self)


class TokenScope(StrEnum):
    """What a token lets a program do, within the role of the user that it belongs to."""

    READ = "read"
    RUN = "run"


class Spread(StrEnum):
    """How the requests of a job go to several API configs."""

    FAST = "fast"  # each as many as it can take
    WEIGHT = "weight"  # in proportion
    ORDER = "order"  # the first that is available


class Cause(StrEnum):
    """The class of a failure."""

    RATE_LIMIT = "rate_limit"
    QUOTA = "quota"
    AUTH = "auth"
    BAD_REQUEST = "bad_request"
    NOT_FOUND = "not_found"
    CONTEXT_LENGTH = "context_length"
    TOO_LARGE = "too_large"  # one request alone exceeds a limit
    CONTENT_FILTER = "content_filter"
    SERVER_ERROR = "server_error"
    OVERLOADED = "overloaded"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    BAD_RESPONSE = "bad_response"
    SCHEMA = "schema"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    INTERNAL = "internal"


class Sharing(StrEnum):
    """Who else sees a job, besides its owner and those whose role sees all jobs."""

    PRIVATE = "private"
    VIEW = "view"  # every user sees it
    EDIT = "edit"  # every user sees it; those who run jobs change it


class Service(StrEnum):
    """How the requests of a job are sent."""

    NOW = "now"  # each by a call
    BATCH = "batch"  # through the provider's own batch API
    BATCH_THEN_NOW = "batch-then-now"  # the same; what would miss the deadline is sent now


BATCH_TIER = BATCH  # the service tier of results that came through a provider's batch API


class PartState(StrEnum):
    """Where a part of a job stands: one batch at a provider."""

    PLANNED = "planned"  # its requests are chosen, nothing is sent
    UPLOADING = "uploading"  # its input may be at the provider
    UPLOADED = "uploaded"
    CREATING = "creating"  # its batch may exist
    OPEN = "open"  # its batch exists and has not ended, as far as is known
    CANCELLING = "cancelling"  # the same, and an end was asked for
    ENDED = "ended"  # its results can be read
    MERGED = "merged"  # each of its requests has a result or has left it
    RELEASED = "released"  # it was never sent, or refused as a whole: all requests have left it

    @property
    def over(self) -> bool:
        return self in (PartState.MERGED, PartState.RELEASED)


class Outcome(StrEnum):
    """What a delivered answer is worth."""

    OK = "ok"
    CUT_OFF = "cut_off"  # it ends before its end: a limit of tokens was reached
    REFUSED = "refused"  # by the model, or by a filter of its provider
    EMPTY = "empty"  # no text and no tool call
    TOOL_CALL = "tool_call"
    SCHEMA = "schema"  # it does not match the job's schema


class RatingScale(StrEnum):
    """How the answers of a job are scored."""

    THUMBS = "thumbs"  # 1 is 👍, 0 is 👎
    POINTS = "points"  # 1 to 5, 5 is best


SCORES = {RatingScale.THUMBS: (1, 0), RatingScale.POINTS: (1, 2, 3, 4, 5)}


class Verdict(StrEnum):
    """What to do about a failed attempt."""

    RETRY = "retry"  # call again after a backoff; costs one retry
    WAIT = "wait"  # the governor cools down; costs time, not a retry
    STOP = "stop"  # every further call would fail alike: pause the job
    FINAL = "final"  # this request cannot succeed


IMAGE = "image-file:"  # in a request before the file of an image; its data URL is made when sent


class Request(msgspec.Struct, frozen=True, gc=False):
    """One line of a job, as the user gave it. ``body`` is a JSON object without
    the config's defaults; they are merged when the request is sent."""

    index: int  # from 0, in input order, without gaps
    custom_id: str
    body: bytes
    url: str = "/v1/chat/completions"
    line: int = 0  # line of the upload it came from, from 1
    config_id: int | None = None  # where it goes, if not to the job's own config
    twin: int | None = None  # index of an identical one before it, whose answer it gets
    cells: bytes | None = None  # of the row of a table it was made from, as a JSON array
    max_tokens: int | None = None  # a limit over that of the body, where it is sent again with one
    prefix: int | None = None  # of its prompt, as prompt_prefix.prefix_of has it


class Fault(msgspec.Struct, frozen=True):
    """Why a line of an upload is no request. ``code`` is one of OpenAI's
    (invalid_json_line, duplicate_custom_id, url_mismatch, empty_file, …), ``param`` the field that
    is to blame; ``unit`` says whether ``line`` counts lines, or rows of a file that has none.
    ``excerpt`` is the part of the line around the place, ``mark`` the index of the place in it."""

    line: int | None
    code: str
    message: str
    param: str | None = None
    unit: Literal["line", "row"] = "line"
    wording: list[Any] | None = None  # how the message was made, for pages in another language
    excerpt: str | None = None
    mark: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.message, Message):
            msgspec.structs.force_setattr(self, "wording", self.message.kept())
            msgspec.structs.force_setattr(self, "message", str(self.message))

    def __str__(self) -> str:
        return str(self.placed)

    @property
    def text(self) -> str:
        """The message; a Message where it was made from one."""
        return self.message if self.wording is None else restored(self.wording)

    @property
    def placed(self) -> str:
        """The same with its place."""
        if not self.line:
            return self.text
        if self.unit == "row":
            return translatable("row %(line)s: %(message)s", line=self.line, message=self.text)
        return translatable("line %(line)s: %(message)s", line=self.line, message=self.text)


class Attempt(msgspec.Struct, frozen=True, gc=False):
    """One call made for a request. ``cause`` is None where it succeeded."""

    number: int  # from 1
    started_at: int
    latency_ms: int
    cause: Cause | None = None
    http_status: int | None = None
    message: str = ""
    excerpt: str = ""  # the first 2,000 characters of what came back
    wait_ms: int = 0  # pause decided after this attempt
    usage: Usage | None = None
    service_tier: str | None = None  # as the answer names it

    @property
    def ended_at(self) -> int:
        """Epoch ms."""
        return self.started_at + self.latency_ms


# causes of attempts that use up a retry of a request in a batch; others are final, stop the job, or cost none
CHARGED = frozenset(Cause) - {
    Cause.QUOTA,
    Cause.AUTH,
    Cause.BAD_REQUEST,
    Cause.NOT_FOUND,
    Cause.CONTEXT_LENGTH,
    Cause.TOO_LARGE,
    Cause.CANCELLED,
    Cause.EXPIRED,
}


class Tried(msgspec.Struct, frozen=True, gc=False):
    """Stored attempts of a request, and how many of them used up a retry."""

    attempts: int = 0
    charged: int = 0


class BatchAnswer(msgspec.Struct, frozen=True, gc=False):
    """What is kept of an answer that came in the results of a provider's batch, and with which its request has
    succeeded: fields of a RequestResult."""

    response: bytes
    http_status: int
    usage: Usage
    model: str | None
    outcome: Outcome | None
    finish_reason: str | None


class RequestResult(msgspec.Struct, frozen=True, gc=False):
    """How a request ended. ``outcome`` and ``finish_reason`` (as the provider says it) are of the
    answer, None where there is none. ``response`` is the provider's JSON as received,
    also for an HTTP error whose body was JSON. ``attempts`` ends with the call that
    succeeded, if one did. ``latency_ms`` is that of the last attempt; it and
    ``started_at`` are None where no call was made."""

    index: int
    status: RequestStatus  # succeeded, failed or cancelled
    attempts: tuple[Attempt, ...]
    started_at: int | None
    finished_at: int
    latency_ms: int | None
    response: bytes | None = None
    cause: Cause | None = None
    http_status: int | None = None
    message: str = ""
    usage: Usage | None = None
    model: str | None = None  # as the answer names it
    outcome: Outcome | None = None
    finish_reason: str | None = None
    service_tier: str | None = None  # as the answer names it
    tier_fallback: bool = False  # its tier had no room: it was sent without one
    first_token_ms: int | None = None  # of an answer that came as a stream
    held: object = (
        None  # what the response holds of the room for all answers (engine/answer_memory.py)
    )


class ApiFormat(StrEnum):
    """The API that an endpoint speaks; requests and answers are in OpenAI's form on our side."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"  # the Messages API


class Adjust(StrEnum):
    """What is done about a parameter that a model rejects."""

    RENAME = "rename"  # its value is sent under another name
    LEAVE_OUT = (
        "leave_out"  # where it comes from the config or the job; never from a user's own line
    )
    DEVELOPER_ROLE = "developer_role"  # messages of one role are sent with another


class Adjustment(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was learned about one parameter that ``model`` rejects on an endpoint. ``parameter`` is the
    path in the body (``max_tokens``, ``reasoning.effort``, ``role``); ``to`` its new path, or the new
    role. ``reason`` is in the provider's words, ``at`` in epoch ms. ``url`` is the endpoint (for example
    /v1/chat/completions); empty: every one."""

    parameter: str
    action: Adjust
    to: str | None = None
    model: str = ""
    reason: str = ""
    at: int = 0
    url: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What there is one adjustment for."""
        return self.model, self.url, self.parameter

    def concerns(self, model: str, url: str) -> bool:
        """Whether it holds for a call."""
        return self.model == model and self.url in ("", url)


class Defaults(msgspec.Struct, frozen=True):
    """What a config adds to a request that does not say it itself, where it asks for a text. ``own``
    are a job's parameters: they go to every endpoint. A request that names the ``alias`` as its
    model means ``model``. ``api_format`` is that of the endpoint: what it has nothing like is left out.
    ``adjustments`` are those of the config; ``left_out`` are parameters that a user has told a job to
    leave out of all its requests. ``service_tier`` is asked for where the endpoint has the field."""

    model: str
    max_tokens: int | None = None
    temperature: float | None = None
    params: dict[str, Any] = {}
    alias: str = ""
    own: dict[str, Any] = {}
    api_format: ApiFormat = ApiFormat.OPENAI
    adjustments: tuple[Adjustment, ...] = ()
    left_out: tuple[str, ...] = ()
    service_tier: str | None = None

    def under(self, params: dict[str, Any]) -> "Defaults":
        """With a job's own parameters over the config's."""
        rest = {**self.params, **params}
        return msgspec.structs.replace(
            self,
            model=rest.pop("model", self.model),
            max_tokens=rest.pop("max_tokens", self.max_tokens),
            temperature=rest.pop("temperature", self.temperature),
            service_tier=rest.pop("service_tier", self.service_tier),
            params=rest,
            own={name: params[name] for name in params if name not in ("model", "service_tier")},
        )


class Auth(StrEnum):
    """How a call carries the key."""

    BEARER = "bearer"  # Authorization: Bearer KEY
    API_KEY = "api-key"  # api-key: KEY
    X_API_KEY = "x-api-key"  # x-api-key: KEY
    NONE = "none"


class StreamMode(StrEnum):
    """Whether answers are read as streams."""

    AUTO = "auto"  # once the endpoint needs it
    ALWAYS = "always"
    NEVER = "never"


class Endpoint(msgspec.Struct, frozen=True):
    """What is needed to make calls for one API config. Carries the opened key and secret headers:
    never log, store or print them (``repr`` hides them). ``headers`` and ``query`` hold the plain
    and the secret ones; ``secrets`` are the values of the secret ones."""

    config_id: int
    alias: str
    base_url: str
    key: str
    defaults: Defaults
    timeout_s: float = 60.0
    concurrency: int | None = None  # ceiling; None: learned
    rpm: int | None = None
    tpm: int | None = None
    prices: Prices = Prices()
    provider: str = ""  # id in the gallery
    api_format: ApiFormat = ApiFormat.OPENAI
    auth: Auth = Auth.BEARER
    headers: tuple[tuple[str, str], ...] = ()
    query: tuple[tuple[str, str], ...] = ()
    secrets: tuple[str, ...] = ()
    stream: StreamMode = StreamMode.AUTO
    stream_since: int | None = (
        None  # epoch ms; when it was found out that the endpoint needs streams
    )
    service_tier: str | None = None
    batch_api: str = ""  # kind of the provider's own; empty: the gallery's, "none": not used

    @property
    def origin(self) -> str:
        """What tells its answers from those of other endpoints to the same request: the base URL, the
        API format, and headers and query parameters that are no secrets."""
        pairs = sorted({*self.headers, *self.query})
        plain = [f"{name}={value}" for name, value in pairs if value not in self.secrets]
        form = [] if self.api_format is ApiFormat.OPENAI else [str(self.api_format)]
        return "\n".join([self.base_url, *form, *plain])

    @property
    def adjustments(self) -> tuple[Adjustment, ...]:
        """What was learned about parameters that its models reject."""
        return self.defaults.adjustments

    def __repr__(self) -> str:
        return f"Endpoint({self.alias!r}, {self.base_url!r})"


class Waiting(msgspec.Struct, frozen=True):
    """An outage of the endpoint: the running job makes no calls but probes. Moments are epoch ms;
    ``reason`` is in the words of the provider or of the transport."""

    since: int
    reason: str
    next_probe_at: int


class WebhookFormat(StrEnum):
    """What a webhook's messages look like: an event signed as Standard Webhooks, or a text as the custom
    bots of a chat tool take it."""

    STANDARD = "standard"
    SLACK = "slack"
    FEISHU = "feishu"  # and Lark
    DINGTALK = "dingtalk"
    WECOM = "wecom"


class LimitedBy(StrEnum):
    """What keeps calls of a job from starting sooner. ``LEARNED_…`` are limits that refusals have
    shown, the others those that users have set."""

    NOTHING = ""
    CONCURRENCY = "concurrency"  # of the connection
    REQUESTS = "requests"  # per minute
    TOKENS = "tokens"  # per minute
    LEARNED_CONCURRENCY = "learned_concurrency"
    LEARNED_REQUESTS = "learned_requests"
    LEARNED_TOKENS = "learned_tokens"
    GROWING = "growing"  # no refusal yet: the concurrency is being raised
    WINDOW = "window"  # the calls of this minute are used up
    COOLDOWN = "cooldown"  # a wait after a refusal
    JOB = "job_concurrency"
    PROCESS = "process_concurrency"
    MEMORY = "memory"  # for answers


class GovernorState(msgspec.Struct, frozen=True):
    """What a governor shows of itself. ``limited_to`` is the value of the limit that ``limited_by``
    names: calls at a time, or per minute; None where it has none."""

    limit: int
    in_flight: int
    learning: bool
    cooldown_s: float = 0.0
    reason: str = ""
    rpm_used: int = 0
    tpm_used: int = 0
    rpm_learned: int | None = None  # per minute; None while the provider has not refused
    tpm_learned: int | None = None
    limited_by: LimitedBy = LimitedBy.NOTHING
    limited_to: int | None = None
