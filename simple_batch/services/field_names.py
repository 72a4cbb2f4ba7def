"""What the fields of jobs and API configs are called in the history and in the audit log."""

from ..core.messages import translatable

_NAMES = {
    str(name): name
    for name in (
        # of both
        translatable("concurrency"),
        # of a job
        translatable("name"),
        translatable("tags"),
        translatable("max_retries"),
        translatable("deadline_at"),
        translatable("hours"),
        translatable("zone"),
        translatable("priority"),
        translatable("spend_cap"),
        # of a config
        translatable("name"),
        translatable("base_url"),
        translatable("key"),
        translatable("model"),
        translatable("max_tokens"),
        translatable("temperature"),
        translatable("timeout_s"),
        translatable("rpm"),
        translatable("tpm"),
        translatable("params"),
        translatable("currency"),
        translatable("input_price"),
        translatable("cached_input_price"),
        translatable("cache_write_price"),
        translatable("batch_discount"),
        translatable("output_price"),
        translatable("reasoning_price"),
        translatable("day_cap"),
        translatable("month_cap"),
        translatable("provider"),
        translatable("api_format"),
        translatable("auth"),
        translatable("headers"),
        translatable("query"),
        translatable("secrets"),
        translatable("stream"),
        translatable("service_tier"),
        translatable("batch_api"),
        translatable("notes"),
        translatable("active"),
    )
}


def field_name(field: str) -> str:
    """The column's name as a Message; as it is if it has no other."""
    return _NAMES.get(field, field)


def change(field: str, before: object, after: object) -> str:
    """A change of one field."""
    return translatable(
        "%(field)s: %(before)s → %(after)s",
        field=field_name(field),
        before=_shown(before),
        after=_shown(after),
    )


def _shown(value: object) -> str:
    return translatable("None") if value is None else str(value)
