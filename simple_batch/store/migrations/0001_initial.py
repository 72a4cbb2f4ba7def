"""The first tables: a frozen copy, independent of the models as they are today."""

from peewee import (
    AutoField,
    BigIntegerField,
    BlobField,
    BooleanField,
    CharField,
    CompositeKey,
    FloatField,
    ForeignKeyField,
    IntegerField,
    Model,
    PostgresqlDatabase,
    TextField,
)

from simple_batch.store.dialect import READABLE


class BaseModel(Model):
    class Meta:
        legacy_table_names = False


class ApiConfig(BaseModel):
    alias = CharField(unique=True)
    base_url = TextField()
    key_encrypted = BlobField(default=b"")
    key_last4 = CharField(default="")
    model = TextField()
    max_tokens = IntegerField(null=True)
    temperature = FloatField(null=True)
    timeout_s = FloatField()
    concurrency = IntegerField(null=True)
    rpm = IntegerField(null=True)
    tpm = IntegerField(null=True)
    params = TextField(default="{}")
    currency = CharField(default="USD")
    input_price = BigIntegerField(null=True)
    cached_input_price = BigIntegerField(null=True)
    output_price = BigIntegerField(null=True)
    notes = TextField(default="")
    active = BooleanField(default=True)
    created_at = BigIntegerField()
    updated_at = BigIntegerField()
    last_test_at = BigIntegerField(null=True)
    last_test_ok = BooleanField(null=True)
    last_test_message = TextField(default="")


class Upload(BaseModel):
    path = TextField()
    filename = TextField()
    bytes = BigIntegerField()
    preview = TextField(default="{}")
    created_at = BigIntegerField(index=True)


class Job(BaseModel):
    name = TextField()
    config = ForeignKeyField(ApiConfig, backref="jobs", on_delete="RESTRICT")
    upload = ForeignKeyField(Upload, null=True, on_delete="SET NULL")
    status = CharField(index=True)
    status_reason = CharField(default="")
    status_detail = TextField(default="")
    source_name = TextField(default="")
    source_format = CharField(default="")
    skip_faulty = BooleanField(default=False)
    hold = BooleanField(default=False)
    concurrency = IntegerField(null=True)
    max_retries = IntegerField()

    created_at = BigIntegerField(index=True)
    started_at = BigIntegerField(null=True)
    finished_at = BigIntegerField(null=True)
    active_ms = BigIntegerField(default=0)
    resumed_at = BigIntegerField(null=True)
    deleted_at = BigIntegerField(null=True)

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
    cost_nano = BigIntegerField(default=0)
    unpriced = IntegerField(default=0)
    currency = CharField(default="USD")
    latency = BlobField(default=b"")
    live = TextField(default="{}")

    class Meta:
        indexes = ((("deleted_at", "status"), False),)


class JobEvent(BaseModel):
    job = ForeignKeyField(Job, backref="events", on_delete="CASCADE")
    at = BigIntegerField()
    from_status = CharField()
    to_status = CharField()
    reason = CharField(default="")
    detail = TextField(default="")
    actor = CharField(default="")


class Request(BaseModel):
    job = ForeignKeyField(Job, on_delete="CASCADE", index=False)
    idx = IntegerField()
    custom_id = TextField()
    url = TextField()
    line = IntegerField()
    body = BlobField()

    class Meta:
        primary_key = CompositeKey("job", "idx")
        indexes = ((("job", "custom_id"), True),)


class Result(BaseModel):
    job = ForeignKeyField(Job, on_delete="CASCADE", index=False)
    idx = IntegerField()
    status = CharField()
    cause = CharField(null=True)
    http_status = IntegerField(null=True)
    message = TextField(default="")
    response = BlobField(null=True)
    model = TextField(null=True)
    config = CharField()
    attempts = IntegerField()
    started_at = BigIntegerField(null=True)
    finished_at = BigIntegerField()
    latency_ms = IntegerField(null=True)
    input_tokens = IntegerField(null=True)
    output_tokens = IntegerField(null=True)
    cached_tokens = IntegerField(null=True)
    reasoning_tokens = IntegerField(null=True)
    cost_nano = BigIntegerField(null=True)

    class Meta:
        primary_key = CompositeKey("job", "idx")
        indexes = (
            (("job", "status", "idx"), False),
            (("job", "finished_at"), False),
            (("job", "latency_ms"), False),
        )


Result.add_index(
    Result.index(Result.job, Result.cause, Result.idx, where=Result.cause.is_null(False))
)


class Attempt(BaseModel):
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
    cost_nano = BigIntegerField(null=True)
    group_key = CharField()

    class Meta:
        indexes = ((("job", "idx"), False), (("job", "group_key"), False))


class ErrorGroup(BaseModel):
    job = ForeignKeyField(Job, on_delete="CASCADE", index=False)
    group_key = CharField()
    cause = CharField()
    http_status = IntegerField(null=True)
    message = TextField()
    attempts = IntegerField()
    first_at = BigIntegerField()
    last_at = BigIntegerField()

    class Meta:
        primary_key = CompositeKey("job", "group_key")


class Timeline(BaseModel):
    job = ForeignKeyField(Job, on_delete="CASCADE", index=False)
    width = IntegerField()
    t = BigIntegerField()
    sent = IntegerField(default=0)
    succeeded = IntegerField(default=0)
    failed = IntegerField(default=0)
    retried = IntegerField(default=0)
    input_tokens = BigIntegerField(default=0)
    output_tokens = BigIntegerField(default=0)
    cost_nano = BigIntegerField(default=0)
    latency = BlobField(default=b"")

    class Meta:
        primary_key = CompositeKey("job", "width", "t")


TABLES = (ApiConfig, Upload, Job, JobEvent, Request, Result, Attempt, ErrorGroup, Timeline)


_ON_SERVER = (
    READABLE,
    # ascending order begins with nulls, as on SQLite
    "DROP INDEX result_job_id_latency_ms",
    "CREATE INDEX result_job_id_latency_ms ON result (job_id, latency_ms NULLS FIRST)",
)


def up(migrator, db):
    with db.bind_ctx(TABLES):
        db.create_tables(TABLES)
    if isinstance(db, PostgresqlDatabase):
        for sql in _ON_SERVER:
            db.execute_sql(sql)


def down(migrator, db):
    with db.bind_ctx(TABLES):
        db.drop_tables(TABLES)
    if isinstance(db, PostgresqlDatabase):
        db.execute_sql("DROP FUNCTION readable")
