"""The requests as they could be uploaded again: OpenAI's Batch API input lines."""

from collections.abc import Iterable, Iterator

import msgspec

from .rows import Row, raw_json

_encode = msgspec.json.Encoder().encode


def as_lines(rows: Iterable[Row]) -> Iterator[bytes]:
    for row in rows:
        line = {
            "custom_id": row.custom_id,
            "method": "POST",
            "url": row.url,
            "body": raw_json(row.body),
        }
        yield _encode(line) + b"\n"
