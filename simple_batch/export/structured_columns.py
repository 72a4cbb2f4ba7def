"""The fields of answers that fit the schema of their job."""

import msgspec

from ..core.domain import RequestStatus
from ..core.schema import JsonText, Schema
from ..store.models import Job
from .rows import Row

_encode = msgspec.json.Encoder().encode


class Fields:
    """``names`` are the top-level properties of the schema, in its order; ``types`` what it says of
    their values, where that is one plain type."""

    def __init__(self, schema: dict):
        self._schema = Schema(schema)
        self.names = self._schema.columns
        self.types = _types(schema.get("properties") or {})

    @classmethod
    def of(cls, job: Job) -> "Fields | None":
        """None for a job without a schema."""
        return cls(msgspec.json.decode(job.schema)) if job.schema else None

    def values(self, row: Row) -> list:
        """The fields of one answer: text, number, bool, None where it has none; what is nested as
        JSON."""
        found = self._fitting(row)
        if found is None or not isinstance(found.value, dict):
            return [None] * len(self.names)
        return [_plain(found.value.get(name)) for name in self.names]

    def as_json(self, row: Row) -> msgspec.Raw | None:
        """The JSON in an answer, as it was written, on one line; None where it does not fit."""
        found = self._fitting(row)
        if found is None:
            return None
        return msgspec.Raw(msgspec.json.format(found.text.encode(), indent=-1))

    def _fitting(self, row: Row) -> JsonText | None:
        succeeded = row.status == RequestStatus.SUCCEEDED
        return self._schema.json_of(row.response) if succeeded else None


def _plain(value):
    return _encode(value).decode() if isinstance(value, dict | list) else value


def _types(properties: dict) -> dict[str, str]:
    found = {}
    for name, of in properties.items():
        type = of.get("type") if isinstance(of, dict) else None
        kinds = {type} if isinstance(type, str) else {*(type or ())} - {"null"}
        if len(kinds) == 1:
            found[name] = kinds.pop()
    return found
