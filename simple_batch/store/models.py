"""The tables. Their meaning is described in docs/architecture.md.

Times are milliseconds since the epoch (UTC), money nano-units of the job's
currency. Ordinary reads and writes go through these models; the paths that
touch every request of a job use plain SQL (requests.py, results.py).
"""

import json

from peewee import (
    AutoField,
    BigIntegerField,
    BlobField,
    BooleanField,
    CharField,
    CompositeKey,
    DatabaseProxy,
    DoubleField,
    FloatField,
    ForeignKeyField,
    IntegerField,
    Model,
    TextField,
)

from ..core.clock import now_ms
from ..core.messages import Message, restored
from .dialect import LOCKING

database = DatabaseProxy()
_SECRETS_LOCK = 0x51B2  # advisory lock


def lock_job(job_id: int) -> None:
    """Keep other transactions that hold the job waiting until this one ends. On SQLite every
    transaction keeps all others waiting anyway."""
    if database.server:
        database.execute_sql(f"SELECT 1 FROM job WHERE id = ? {LOCKING}", (job_id,))


def lock_config(config_id: int) -> None:
    """The same for an API config."""
    if database.server:
        database.execute_sql(f"SELECT 1 FROM api_config WHERE id = ? {LOCKING}", (config_id,))


def lock_upload(upload_id: int) -> None:
    """The same for an upload."""
    if database.server:
        database.execute_sql(f"SELECT 1 FROM upload WHERE id = ? {LOCKING}", (upload_id,))


def lock_secrets() -> None:
    """Lock against concurrent encryption of secrets and key changes until the transaction ends."""
    if database.server:
        database.execute_sql("SELECT pg_advisory_xact_lock(?)", (_SECRETS_LOCK,))


class SentenceField(TextField):
    """A text for people. A ``wording.Text`` is kept as JSON behind a mark and comes back as one, so
    that pages can translate it."""

    _MARK = "\x1e"

    def db_value(self, value):
        if isinstance(value, Message):
            return self._MARK + json.dumps(value.kept(), ensure_ascii=False)
        return value.lstrip(self._MARK) if value else value

    def python_value(self, value):
        if value and value.startswith(self._MARK):
            return restored(json.loads(value[1:]))
        return value


class BaseModel(Model):
    class Meta:
        database = database
        legacy_table_names = False


class ApiConfig(BaseModel):
    """An endpoint with its key, model, defaults, limits and prices."""

    alias = CharField(unique=True)
    base_url = TextField()
    key_encrypted = BlobField(default=b"")
    key_last4 = CharField(default="")
    model = TextField()
    max_tokens = IntegerField(null=True)
    temperature = FloatField(null=True)
    timeout_s = FloatField()
    concurrency = IntegerField(null=True)  # null: learned
    rpm = IntegerField(null=True)
    tpm = IntegerField(null=True)
    params = TextField(default="{}")  # JSON object of further chat parameters
    currency = CharField(default="USD")
    input_price = BigIntegerField(null=True)  # nano-units per million tokens
    cached_input_price = BigIntegerField(null=True)
    output_price = BigIntegerField(null=True)
    reasoning_price = BigIntegerField(null=True)
    cache_write_price = BigIntegerField(null=True)
    # nano-units that may be spent in a day and a month (core/time_windows.py)
    day_cap = BigIntegerField(null=True)
    month_cap = BigIntegerField(null=True)
    notes = TextField(default="")
    active = BooleanField(default=True)
    created_at = BigIntegerField()
    updated_at = BigIntegerField()
    last_test_at = BigIntegerField(null=True)
    last_test_ok = BooleanField(null=True)
    last_test_message = SentenceField(default="")
    provider = TextField(default="")  # its id in the gallery; empty: custom
    api_format = CharField(default="openai")  # core/domain.ApiFormat
    auth = CharField(default="bearer")  # core/domain.Auth
    headers = TextField(default="{}")  # JSON object of plain headers
    query = TextField(default="{}")  # JSON object of plain query parameters
    # JSON {"headers": {…}, "query": {…}}, encrypted
    secrets_encrypted = BlobField(null=True)
    stream = CharField(default="auto")  # core/domain.StreamMode
    stream_since = BigIntegerField(null=True)  # auto: when streams were switched on
    stream_reason = SentenceField(default="")  # and why
    service_tier = TextField(null=True)
    price_rules = TextField(default="{}")  # JSON of core/price_rules.PriceRules
    batch_discount = DoubleField(null=True)  # share of the price in a batch; null: as the rules say
    adjustments = TextField(default="[]")  # JSON list of core/domain.Adjustment
    batch_api = TextField(default="")  # kind of the provider's own; empty: the gallery's, or none
    # {model: [limit of enqueued tokens, when it was found]} (store/batch_parts.py)
    batch_tokens = TextField(default="{}")
    relearn_at = BigIntegerField(null=True)  # when a user last asked to find its limits again


class SavedTemplate(BaseModel):
    """A template that is kept under a name; its texts are those of its versions."""

    name = CharField(unique=True)
    created_at = BigIntegerField()


class TemplateVersion(BaseModel):
    """A saved template as it was saved once; never updated."""

    saved = ForeignKeyField(SavedTemplate, on_delete="CASCADE", index=False)
    number = IntegerField()  # from 1
    text = TextField()  # the template, as JSON
    note = TextField(default="")
    actor = CharField()  # web, cli
    restored_from = IntegerField(null=True)  # number of the older version that was made the newest
    created_at = BigIntegerField()

    class Meta:
        indexes = ((("saved", "number"), True),)


class User(BaseModel):
    """A user account. ``stamp`` changes with the password, the role and the state; sessions with another
    stamp are invalid."""

    name = CharField(unique=True)  # in small letters
    role = CharField()
    password_hash = TextField()  # argon2
    stamp = CharField()
    created_at = BigIntegerField()
    last_login_at = BigIntegerField(null=True)
    disabled_at = BigIntegerField(null=True)


class Upload(BaseModel):
    """A file on disk that requests are, or were, read from."""

    user = ForeignKeyField(User, null=True, on_delete="SET NULL")  # null: made without a login
    path = TextField()
    filename = TextField()
    bytes = BigIntegerField()
    preview = TextField(default="{}")  # what the scan found, as JSON
    template = TextField(null=True)  # of a table, as JSON; what the scan found is with it
    template_version = ForeignKeyField(TemplateVersion, null=True, on_delete="SET NULL")
    images = IntegerField(default=0)  # beside it, that its rows may name
    draft = TextField(null=True)  # of a new job, as JSON (services/drafts.py)
    # encoding, header and lines, as JSON; null: made before there was any
    reading = TextField(null=True)
    created_at = BigIntegerField(index=True)
    changed_at = BigIntegerField(default=now_ms)  # the last change of the draft
    discarded_at = BigIntegerField(null=True)  # hidden; it can be restored until it is removed
    answers_of = IntegerField(null=True)  # the job whose answers these are

    class Meta:
        only_save_dirty = True  # a scan of minutes must not write back the draft of its beginning


class UploadImage(BaseModel):
    """An image beside a table, under the name it was given (store/images.py)."""

    upload = ForeignKeyField(Upload, on_delete="CASCADE", index=False)
    name = TextField()
    key = TextField()  # the name as it is looked for, whatever its case
    base = TextField()  # the last part of the key
    file = TextField(null=True)  # in the folder of the upload's images; null: refused
    bytes = BigIntegerField(default=0)
    refused = SentenceField(default="")  # why

    class Meta:
        primary_key = CompositeKey("upload", "name")
        indexes = (
            (("upload", "key"), False),
            (("upload", "base"), False),
            (("upload", "file"), False),
        )


class SampleRows(BaseModel):
    """The rows of an upload on which a prompt is tried (services/sample_rows.py)."""

    upload = ForeignKeyField(Upload, primary_key=True, on_delete="CASCADE")
    chosen = TextField()  # how they were chosen, as JSON
    rows = BlobField()  # MessagePack


class TriedAnswer(BaseModel):
    """The answer to one call of the workbench, kept as long as the upload (services/trials.py)."""

    upload = ForeignKeyField(Upload, on_delete="CASCADE", index=False)
    key = CharField()  # hash of what was sent, and of the connection
    answer = BlobField()  # MessagePack
    created_at = BigIntegerField()

    class Meta:
        primary_key = CompositeKey("upload", "key")


class PromptVersion(BaseModel):
    """A run of the workbench: the texts and choices of its form, and which answers belong to them."""

    upload = ForeignKeyField(Upload, on_delete="CASCADE", index=False)
    number = IntegerField()  # from 1
    texts = TextField()  # JSON: the parts of the draft as they were
    cells = TextField()  # JSON: rows and connections, with the keys of their answers
    sent = IntegerField()  # calls
    costs = TextField()  # JSON: nano-units by currency
    actor = CharField()
    created_at = BigIntegerField()
    beat_at = BigIntegerField()  # the last sign of the process that makes its calls
    stop_at = BigIntegerField(null=True)  # a user asked for its end
    ended_at = BigIntegerField(null=True)

    class Meta:
        primary_key = CompositeKey("upload", "number")


class Token(BaseModel):
    """Authenticates a program. ``sees_all``: it also sees what others and the pages made, as far as its
    user may see that."""

    user = ForeignKeyField(User, null=True, on_delete="CASCADE")  # null: the machine's own
    scope = CharField(default="run")  # TokenScope
    name = CharField(unique=True)
    secret_hash = CharField(unique=True)  # SHA-256, hexadecimal
    last4 = CharField()
    sees_all = BooleanField(default=False)
    created_at = BigIntegerField()
    last_used_at = BigIntegerField(null=True)
    revoked_at = BigIntegerField(null=True)


class Webhook(BaseModel):
    """A receiver of notifications about ended jobs: all jobs, those that one token made, or only those
    that name it."""

    url = TextField()
    secret_encrypted = BlobField()
    token = ForeignKeyField(Token, null=True, on_delete="CASCADE")
    chosen_only = BooleanField(default=False)
    format = CharField(default="standard")  # core/domain.WebhookFormat
    created_at = BigIntegerField()
    disabled_at = BigIntegerField(null=True)  # the receiver said that it is gone


class Job(BaseModel):
    """One batch. The counters change in the transaction of the results that move them."""

    name = TextField()
    tags = TextField(default="")  # with ", " between them
    user = ForeignKeyField(User, null=True, on_delete="SET NULL")  # null: made without a login
    sharing = CharField(default="private")  # core/domain.Sharing
    config = ForeignKeyField(ApiConfig, backref="jobs", on_delete="RESTRICT")
    upload = ForeignKeyField(Upload, null=True, on_delete="SET NULL")
    status = CharField(index=True)
    status_reason = CharField(default="")  # a code: held, user, auth, quota, storage, …
    status_detail = SentenceField(default="")  # the same for people, with the remedy
    source_name = TextField(default="")
    source_format = CharField(default="")
    skip_faulty = BooleanField(default=False)
    hold = BooleanField(default=False)  # paused with reason "held" after validation
    concurrency = IntegerField(null=True)
    max_retries = IntegerField()
    params = TextField(default="{}")  # JSON: this job's parameters over the config's
    # JSON arrays of parameters: left out of all requests; why it is paused (engine/parameter_guard.py)
    left_out = TextField(default="[]")
    rejected_parameters = TextField(default="[]")
    seed = BigIntegerField(null=True)  # sent with requests that set none; null: none is
    timeout_s = FloatField(null=True)  # null: the config's
    start_at = BigIntegerField(null=True)  # not before this moment
    template = TextField(null=True)  # of a table, as JSON
    template_version = ForeignKeyField(TemplateVersion, null=True, on_delete="SET NULL")
    template_from = TextField(default="")  # the same as it was called then: name@number
    answers_of = IntegerField(
        null=True
    )  # the job whose answers it reads: its own are columns of that one
    header = TextField(null=True)  # names of a table's columns, as a JSON array
    schema = TextField(null=True)  # JSON Schema that answers must match
    schema_mode = CharField(default="send")  # how it is asked for: send, object, check
    inputs_per_call = IntegerField(null=True)  # of embeddings; null: the setting
    schema_retry = BooleanField(default=False)  # what does not fit is sent back with the complaint
    overrides = IntegerField(default=0)  # incremented whenever requests get another route
    reuse_hours = FloatField(null=True)  # answers of other jobs up to this age are taken
    ask_once = BooleanField(default=False)  # identical requests; see duplicates.py
    cache_aware = BooleanField(null=True)  # sent by shared prefixes; null: where that is cheaper
    saved_calls = IntegerField(default=0)
    saved_nano = BigIntegerField(default=0)
    # what these calls and others saved (core/call_prices.Saved); reuse: the part of the two above that came
    # from other jobs
    saved_reuse_calls = IntegerField(default=0)
    saved_reuse_nano = BigIntegerField(default=0)
    saved_cache_calls = IntegerField(default=0)
    saved_cache_nano = BigIntegerField(default=0)
    saved_tier_calls = IntegerField(default=0)
    saved_tier_nano = BigIntegerField(default=0)
    saved_hours_calls = IntegerField(default=0)
    saved_hours_nano = BigIntegerField(default=0)
    saved_batch_calls = IntegerField(default=0)
    saved_batch_nano = BigIntegerField(default=0)
    service_tier = TextField(null=True)  # that requests ask for; null: the config's
    tier_fallbacks = IntegerField(default=0)  # requests whose tier had no room
    service = TextField(default="now")  # core/domain.Service
    keep_remote_files = BooleanField(default=False)  # of its batches at providers
    rest_now_at = BigIntegerField(null=True)  # since when the rest is sent without batches …
    rest_now_reason = TextField(default="")  # … and why: user, deadline
    spread = CharField(default="")  # over the configs of JobConfig, how (Spread); empty: one config
    priority = IntegerField(default=0)  # of those that wait the highest goes first
    # the hours in which calls may be made (core/time_windows.py); empty: always
    hours = CharField(default="")
    zone = CharField(default="")  # of the hours
    spend_cap = BigIntegerField(null=True)  # nano-units at which it pauses
    capped_by = IntegerField(null=True)  # the config whose cap has paused it; null: its own
    spend_needed = BigIntegerField(default=0)  # nano-units that the cap must leave for it to go on
    webhook = ForeignKeyField(Webhook, null=True, on_delete="SET NULL")  # notified of the end
    email = CharField(default="")  # notified of the end
    # outcomes of answers, with commas between them
    as_failed = CharField(default="")  # count as failed attempts
    fail_on = CharField(default="")  # a command that follows the job then exits with 3

    # Of the Batch API; "endpoint" is every job's.
    token = ForeignKeyField(Token, null=True, on_delete="SET NULL")  # who made it
    endpoint = CharField(default="/v1/chat/completions")
    input_file_id = CharField(default="")
    completion_window = CharField(default="")  # as it was given; empty: made elsewhere
    deadline_at = BigIntegerField(null=True)  # what is left then expires
    metadata = TextField(null=True)  # JSON object of texts
    output_keep_s = IntegerField(null=True)  # lifetime of the result files
    faults = TextField(default="[]")  # of a failed upload, the first ones, as JSON

    created_at = BigIntegerField(index=True)
    started_at = BigIntegerField(null=True)
    finished_at = BigIntegerField(null=True, index=True)
    active_ms = BigIntegerField(default=0)  # time spent running, pauses not counted
    resumed_at = BigIntegerField(null=True)  # start of the present running stretch
    deleted_at = BigIntegerField(null=True)  # hidden; its rows are being removed unless it is …
    binned_at = BigIntegerField(null=True)  # … in the bin, since this moment

    total = IntegerField(default=0)
    succeeded = IntegerField(default=0)
    failed = IntegerField(default=0)
    cancelled = IntegerField(default=0)
    attempts = IntegerField(default=0)
    retries = IntegerField(default=0)
    input_tokens = BigIntegerField(default=0)
    output_tokens = BigIntegerField(default=0)
    cached_tokens = BigIntegerField(default=0)
    reasoning_tokens = BigIntegerField(default=0)
    cache_write_tokens = BigIntegerField(default=0)
    estimated_calls = IntegerField(default=0)  # whose tokens the provider did not report
    cost_nano = BigIntegerField(default=0)
    # results by outcome (outcome_counts.py)
    outcome_ok = IntegerField(default=0)
    outcome_cut_off = IntegerField(default=0)
    outcome_refused = IntegerField(default=0)
    outcome_empty = IntegerField(default=0)
    outcome_tool_call = IntegerField(default=0)
    outcome_schema = IntegerField(default=0)
    outcomes_filled_to = IntegerField(null=True)  # of old results; null: all are (outcome_fill.py)
    unpriced = IntegerField(default=0)  # calls that may have cost something unknown
    currency = CharField(default="USD")
    latency = BlobField(default=b"")  # LatencySketch of successful calls
    first_token = BlobField(null=True)  # and of the times to their first tokens
    live = TextField(default="{}")  # JSON of LiveState (runner/live_state.py)
    rating_scale = CharField(default="thumbs")  # core/domain.RatingScale, of its answers
    rating_labels = TextField(default="[]")  # JSON array of the labels that are offered

    class Meta:
        indexes = ((("deleted_at", "status"), False),)


Job.add_index(Job.index(Job.tags, where=Job.tags != ""))  # the jobs without any are most of them
Job.add_index(Job.index(Job.answers_of, where=Job.answers_of.is_null(False)))
Job.add_index(
    Job.index(
        Job.outcomes_filled_to,
        where=Job.outcomes_filled_to.is_null(False),
        name="job_outcomes_filled_to",
    )
)


class JobEvent(BaseModel):
    """A change of a job's status: who or what caused it."""

    job = ForeignKeyField(Job, backref="events", on_delete="CASCADE")
    at = BigIntegerField()
    from_status = CharField()
    to_status = CharField()
    reason = CharField(default="")
    detail = SentenceField(default="")
    actor = CharField(default="")  # web, cli, runner, a user's name


class Request(BaseModel):
    """A line of a job; written once at intake, never updated."""

    job = ForeignKeyField(Job, on_delete="CASCADE", index=False)
    idx = IntegerField()
    custom_id = TextField()
    url = TextField()
    line = IntegerField()
    body = BlobField()
    config_id = IntegerField(null=True)  # where it goes, if not to the job's own config
    cells = BlobField(null=True)  # of a table's row, as a JSON array
    twin = IntegerField(null=True)  # index of the original of a duplicate, which is sent for both
    prefix = BigIntegerField(null=True)  # of its prompt (core/prompt_prefix.py); null: it is short

    class Meta:
        primary_key = CompositeKey("job", "idx")
        indexes = ((("job", "custom_id"), True),)


Request.add_index(
    Request.index(Request.job, Request.idx, where=Request.twin.is_null(False), name="request_twins")
)


class JobConfig(BaseModel):
    """A config that requests of a job go to, of several, and what it did. ``place`` and ``weight``
    are of a job that is spread over them; null where its lines name their config themselves."""

    job = ForeignKeyField(Job, on_delete="CASCADE", index=False)
    config = ForeignKeyField(ApiConfig, on_delete="RESTRICT")
    place = IntegerField(null=True)
    weight = FloatField(null=True)
    succeeded = IntegerField(default=0)
    failed = IntegerField(default=0)
    input_tokens = BigIntegerField(default=0)
    output_tokens = BigIntegerField(default=0)
    cost_nano = BigIntegerField(default=0)

    class Meta:
        primary_key = CompositeKey("job", "config")


class Override(BaseModel):
    """An override for one request: another config, another timeout, another limit of tokens, or a body
    that a user edited."""

    job = ForeignKeyField(Job, on_delete="CASCADE", index=False)
    idx = IntegerField()
    config = ForeignKeyField(ApiConfig, null=True, on_delete="RESTRICT")
    timeout_s = FloatField(null=True)
    body = BlobField(null=True)
    max_tokens = IntegerField(null=True)

    class Meta:
        primary_key = CompositeKey("job", "idx")


class Result(BaseModel):
    """How a request ended; inserted once. A request without one is pending."""

    job = ForeignKeyField(Job, on_delete="CASCADE", index=False)
    idx = IntegerField()
    status = CharField()
    cause = CharField(null=True)
    http_status = IntegerField(null=True)
    message = TextField(default="")
    response = BlobField(null=True)
    model = TextField(null=True)
    config = CharField()  # alias at the time
    attempts = IntegerField()
    started_at = BigIntegerField(null=True)
    finished_at = BigIntegerField()
    latency_ms = IntegerField(null=True)
    first_token_ms = IntegerField(null=True)  # of an answer that came as a stream
    input_tokens = IntegerField(null=True)
    output_tokens = IntegerField(null=True)
    cached_tokens = IntegerField(null=True)
    reasoning_tokens = IntegerField(null=True)
    cache_write_tokens = IntegerField(null=True)
    cache_write_1h_tokens = IntegerField(null=True)
    estimated = IntegerField(null=True)  # 1: its tokens are estimated
    cost_nano = BigIntegerField(null=True)
    outcome = CharField(null=True)  # of its answer; null: there is none, or not filled in yet
    finish_reason = TextField(null=True)  # as the provider says it
    service_tier = TextField(null=True)  # as the answer names it

    class Meta:
        primary_key = CompositeKey("job", "idx")
        indexes = (
            (("job", "status", "idx"), False),
            (("job", "finished_at", "idx"), False),
            (("job", "latency_ms", "idx"), False),
            (("job", "output_tokens", "idx"), False),
        )


# few results have a cause; the pages ask for them by it
Result.add_index(
    Result.index(Result.job, Result.cause, Result.idx, where=Result.cause.is_null(False))
)
# most answers are ok: without them the index is small, and inserting them costs nothing
Result.add_index(Result.index(Result.job, Result.outcome, Result.idx, where=Result.outcome != "ok"))


class Attempt(BaseModel):
    """A call that failed: the error log. Kept when its request is retried."""

    id = AutoField()
    job = ForeignKeyField(Job, on_delete="CASCADE", index=False)
    idx = IntegerField()
    number = IntegerField()
    started_at = BigIntegerField()
    latency_ms = IntegerField()
    cause = CharField()
    http_status = IntegerField(null=True)
    message = TextField()
    excerpt = TextField(default="")
    wait_ms = IntegerField(default=0)
    input_tokens = IntegerField(null=True)
    output_tokens = IntegerField(null=True)
    estimated = IntegerField(null=True)  # 1: its tokens are estimated
    cost_nano = BigIntegerField(null=True)
    group_key = CharField()

    class Meta:
        indexes = ((("job", "idx"), False), (("job", "group_key"), False))


class ErrorGroup(BaseModel):
    """Failed attempts alike: same cause, HTTP status and message once its varying
    parts are taken out."""

    job = ForeignKeyField(Job, on_delete="CASCADE", index=False)
    group_key = CharField()
    cause = CharField()
    http_status = IntegerField(null=True)
    message = TextField()
    attempts = IntegerField()
    failed = IntegerField(default=0)  # requests that failed with it at the end
    recovered = IntegerField(default=0)  # attempts of requests that succeeded later
    first_at = BigIntegerField()
    last_at = BigIntegerField()

    class Meta:
        primary_key = CompositeKey("job", "group_key")


class Timeline(BaseModel):
    """What happened in one bucket of time, at several widths (1 s to 1 h) so that
    a chart of any window reads few rows."""

    job = ForeignKeyField(Job, on_delete="CASCADE", index=False)
    width = IntegerField()  # seconds
    t = BigIntegerField()  # start of the bucket, seconds since the epoch
    sent = IntegerField(default=0)
    succeeded = IntegerField(default=0)
    failed = IntegerField(default=0)
    retried = IntegerField(default=0)
    input_tokens = BigIntegerField(default=0)
    output_tokens = BigIntegerField(default=0)
    cost_nano = BigIntegerField(default=0)
    latency = BlobField(default=b"")
    first_token = BlobField(null=True)  # times to the first token, likewise
    in_flight = IntegerField(null=True)  # calls at once, the most seen; null: not looked at
    ceiling = IntegerField(null=True)  # the limit, as last seen
    cooling = IntegerField(default=0)  # seconds of the bucket in which the provider cooled down

    class Meta:
        primary_key = CompositeKey("job", "width", "t")


class Spending(BaseModel):
    """What was spent on an API config in a quarter of an hour: every zone's days begin with one."""

    config = ForeignKeyField(ApiConfig, on_delete="CASCADE", index=False)
    currency = CharField()
    t = BigIntegerField()  # its start, seconds since the epoch
    cost_nano = BigIntegerField(default=0)  # by jobs
    tried_nano = BigIntegerField(default=0)  # by rows tried before a launch

    class Meta:
        primary_key = CompositeKey("config", "currency", "t")


class KeptAnswer(BaseModel):
    """An answer kept for other jobs (response_cache.py)."""

    key = BlobField(unique=True)
    response = BlobField()
    http_status = IntegerField(null=True)
    model = TextField(null=True)
    input_tokens = IntegerField(null=True)
    output_tokens = IntegerField(null=True)
    cached_tokens = IntegerField(null=True)
    reasoning_tokens = IntegerField(null=True)
    cache_write_tokens = IntegerField(null=True)
    cache_write_1h_tokens = IntegerField(null=True)
    estimated = IntegerField(null=True)
    bytes = IntegerField()
    created_at = BigIntegerField(index=True)


class TextIndex(BaseModel):
    """Progress of a large job's full-text index (search.py). The row is created at the first search."""

    job = ForeignKeyField(Job, primary_key=True, on_delete="CASCADE")
    next_idx = IntegerField()  # requests below are in it
    finished_at = BigIntegerField()  # results finished before are in it


class GridColumn(BaseModel):
    """A column of a job's results that has sort keys (column_keys.py), and how far these go."""

    job = ForeignKeyField(Job, on_delete="CASCADE")
    name = TextField()  # as in URLs: col.stars, cost
    next_idx = IntegerField()  # requests below have a key
    finished_at = BigIntegerField()  # results that ended before are in it
    wanted_at = BigIntegerField()  # when a page last sorted or filtered by it
    removed = BooleanField(default=False)  # its keys are being removed


class GridKey(BaseModel):
    """The sort key of one value. ``kind``: 0 a number, 1 a text, 2 an empty value."""

    column = ForeignKeyField(GridColumn, on_delete="CASCADE", index=False)
    idx = IntegerField()
    kind = IntegerField()
    number = DoubleField()
    text = TextField()  # casefolded, its first characters
    at = BigIntegerField()  # when the result ended that it was read from; 0: there was none

    class Meta:
        primary_key = CompositeKey("column", "idx")
        indexes = ((("column", "kind", "number", "text", "idx"), False),)


class SavedView(BaseModel):
    """A view of results under a name: of one job, or of all jobs with the same ``columns`` (JSON
    array of names) for one user."""

    user = ForeignKeyField(User, null=True, on_delete="CASCADE")  # null: saved without a login
    job = ForeignKeyField(Job, null=True, on_delete="CASCADE")
    columns = TextField()
    name = TextField()
    query = TextField()  # of the results page
    created_at = BigIntegerField()


class JobsSeen(BaseModel):
    """When a user last looked at the finished jobs."""

    user = ForeignKeyField(
        User, null=True, on_delete="CASCADE", unique=True
    )  # null: without a login
    seen_at = BigIntegerField()


class StoredSetting(BaseModel):
    """A setting that was changed on the pages; the environment and settings.toml win."""

    name = CharField(primary_key=True)
    value = TextField()


class Rating(BaseModel):
    """What one user says of an answer. Once the answer is replaced, its ratings are kept but count no
    more. All writes go through store/ratings.py."""

    job = ForeignKeyField(Job, on_delete="CASCADE", index=False)
    idx = IntegerField()
    rater = TextField()  # name of a user; empty: rated without a login
    score = IntegerField(null=True)  # core/domain.SCORES
    labels = TextField(default="[]")  # JSON array
    note = TextField(default="")
    at = BigIntegerField()
    replaced = BooleanField(default=False)  # the answer, since

    class Meta:
        primary_key = CompositeKey("job", "idx", "rater")


class RatedAnswer(BaseModel):
    """What all users say of an answer: changes in the transaction of their ratings."""

    job = ForeignKeyField(Job, on_delete="CASCADE", index=False)
    idx = IntegerField()
    raters = IntegerField()
    score = IntegerField(null=True)  # the mean, in hundredths
    labels = TextField(default="")  # each once, ", " between
    note = TextField(default="")

    class Meta:
        primary_key = CompositeKey("job", "idx")
        indexes = ((("job", "score", "idx"), False),)


class ApiFile(BaseModel):
    """A file of the Batch API: an upload, or the results of a job (``part``: output or error), which
    are written out when they are asked for."""

    token = ForeignKeyField(Token, null=True, on_delete="SET NULL")
    purpose = CharField()
    filename = TextField()
    bytes = BigIntegerField(null=True)  # null: results not counted yet
    created_at = BigIntegerField()
    expires_at = BigIntegerField(null=True)
    deleted_at = BigIntegerField(null=True)  # hidden; what it holds is being removed
    upload = ForeignKeyField(Upload, null=True, on_delete="SET NULL")
    job = ForeignKeyField(Job, null=True, on_delete="CASCADE", index=False)
    part = CharField(default="")

    class Meta:
        indexes = ((("job", "part"), True),)


class IdempotencyKey(BaseModel):
    """What a create with this key has made, so that sending it again makes nothing more."""

    token = IntegerField()  # 0: a client without one
    key = CharField()
    fingerprint = CharField()  # of what was asked for
    made = IntegerField()  # id of the file or the job; 0 of a form
    outcome = TextField(null=True)  # of a form: where it led; null while it is worked on
    created_at = BigIntegerField()

    class Meta:
        primary_key = CompositeKey("token", "key")


class Delivery(BaseModel):
    """One event on its way to one webhook, or to one address by e-mail."""

    webhook = ForeignKeyField(Webhook, null=True, on_delete="CASCADE")
    email = CharField(default="")
    job = ForeignKeyField(Job, on_delete="CASCADE")
    event_id = CharField()
    type = CharField()
    created_at = BigIntegerField()
    attempts = IntegerField(default=0)
    next_at = BigIntegerField(null=True)  # null: delivered or given up
    delivered_at = BigIntegerField(null=True)
    last_at = BigIntegerField(null=True)
    http_status = IntegerField(null=True)
    message = TextField(default="")


Delivery.add_index(Delivery.index(Delivery.next_at, where=Delivery.next_at.is_null(False)))


class Worker(BaseModel):
    """A live worker process (store/cluster/workers.py)."""

    id = CharField(primary_key=True)
    name = CharField()  # Celery's, of which its queue is made
    room = IntegerField()  # maximum number of job runs
    started_at = BigIntegerField()
    beat_at = BigIntegerField()  # its last heartbeat, by the server's clock


class JobWorker(BaseModel):
    """What a worker did for a job; stays when the worker is gone."""

    job = ForeignKeyField(Job, on_delete="CASCADE", index=False)
    name = CharField()
    succeeded = IntegerField()
    failed = IntegerField()
    attempts = IntegerField()

    class Meta:
        table_name = "job_worker"
        primary_key = CompositeKey("job", "name")


class Page(BaseModel):
    """A unit of a job's requests that one worker claims: those between two indices, both included, that
    have the same route and had no result when the page was created. A page without a worker is free. It
    is removed when all its requests have a result."""

    job = ForeignKeyField(Job, on_delete="CASCADE", index=False)
    config_id = IntegerField()  # 0: the job's own
    timeout_s = FloatField()  # 0: the job's own
    first = IntegerField()
    last = IntegerField()
    worker = ForeignKeyField(Worker, null=True, on_delete="SET NULL", index=False)

    class Meta:
        indexes = ((("job", "config_id", "timeout_s", "first"), True),)


Page.add_index(
    Page.index(
        Page.job,
        Page.config_id,
        Page.timeout_s,
        Page.first,
        where=Page.worker.is_null(),
        name="page_free",
    )
)
Page.add_index(Page.index(Page.worker, where=Page.worker.is_null(False)))


class Assignment(BaseModel):
    """The assignment of a job to a worker: one per job and worker."""

    job = ForeignKeyField(Job, on_delete="CASCADE", index=False)
    worker = ForeignKeyField(Worker, on_delete="CASCADE")
    live = TextField(default="")  # its last live state, as JSON

    class Meta:
        table_name = "lane"
        primary_key = CompositeKey("job", "worker")


class SpendBlock(BaseModel):
    """A worker's lease on a spend cap (spend_leases.py), in sums since the lease began."""

    purse = CharField()  # whose cap it is: job, config
    purse_id = IntegerField()
    worker = ForeignKeyField(Worker, on_delete="CASCADE")
    currency = CharField()
    granted_nano = BigIntegerField()  # what it may spend
    settled_nano = BigIntegerField()  # what its calls have cost, as it last said
    committed_nano = BigIntegerField()  # the part of it that is in the sums of job and config

    class Meta:
        primary_key = CompositeKey("purse", "purse_id", "worker")


class BatchPart(BaseModel):
    """A part of a job: one batch, also before it exists, at a provider (store/batch_parts.py). ``remote``
    is the last RemoteBatch as JSON; counts that begin with remote_ are the provider's own. Removed
    with its job, or when the job's results are."""

    job = ForeignKeyField(Job, on_delete="CASCADE")
    config = ForeignKeyField(ApiConfig, on_delete="RESTRICT", index=False)
    url = TextField()  # endpoint of its requests
    model = TextField()
    marker = TextField(unique=True)  # that the batch and its file carry at the provider
    state = TextField(index=True)  # core/domain.PartState
    requests = IntegerField()
    bytes = BigIntegerField()  # of its input
    tokens = BigIntegerField()  # of its input, estimated
    reserved_nano = BigIntegerField(default=0)  # what it may cost, until it is merged
    file_id = TextField(default="")  # of the uploaded input
    provider_id = TextField(default="")
    provider_status = TextField(default="")
    remote = TextField(default="{}")
    remote_total = IntegerField(null=True)
    remote_succeeded = IntegerField(null=True)
    remote_failed = IntegerField(null=True)
    succeeded = IntegerField(default=0)  # requests that got their result from it
    failed = IntegerField(default=0)
    sent_again = IntegerField(default=0)  # requests that it left without a result
    cost_nano = BigIntegerField(default=0)
    unpriced = IntegerField(default=0)
    poll_failures = IntegerField(default=0)  # in a row
    detail = SentenceField(default="")  # why it waits, or how it ended
    not_before = BigIntegerField(null=True)  # it waits until then
    created_at = BigIntegerField()
    tried_at = BigIntegerField(null=True)  # the last call that might create it
    sent_at = BigIntegerField(null=True)  # when the provider had it
    ended_at = BigIntegerField(null=True)
    merged_at = BigIntegerField(null=True)

    class Meta:
        indexes = ((("config", "state"), False),)


class BatchLine(BaseModel):
    """A request that is in a part: it has no result from there yet and goes no other way."""

    job = ForeignKeyField(Job, on_delete="CASCADE", index=False)
    idx = IntegerField()
    part = ForeignKeyField(BatchPart, on_delete="CASCADE", index=False)

    class Meta:
        primary_key = CompositeKey("job", "idx")
        indexes = ((("part", "idx"), False),)


class Audit(BaseModel):
    """Who did what; never with a secret (auth/audit_log.py)."""

    at = BigIntegerField(index=True)
    actor = CharField()
    address = CharField(default="")  # that it came from; empty: this machine
    action = CharField()
    object = TextField(default="")
    detail = SentenceField(default="")

    class Meta:
        indexes = ((("actor", "action"), False),)


ALL = (
    ApiConfig,
    SavedTemplate,
    TemplateVersion,
    User,
    Upload,
    UploadImage,
    SampleRows,
    TriedAnswer,
    PromptVersion,
    Token,
    Webhook,
    Job,
    JobEvent,
    Request,
    JobConfig,
    Override,
    Result,
    Attempt,
    ErrorGroup,
    Timeline,
    Spending,
    TextIndex,
    GridColumn,
    GridKey,
    SavedView,
    JobsSeen,
    StoredSetting,
    Rating,
    RatedAnswer,
    ApiFile,
    IdempotencyKey,
    Delivery,
    KeptAnswer,
    Audit,
    JobWorker,
    Worker,
    Page,
    Assignment,
    SpendBlock,
    BatchPart,
    BatchLine,
)
TIMELINE_WIDTHS = (1, 10, 60, 3600)
