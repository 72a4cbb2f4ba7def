"""Ids of requests that carry the marker of their part, where a batch itself cannot have one."""

import re

MARK_ROOM = 41  # bytes that a marker takes in an id
_MARKED = re.compile(r"([a-z0-9-]{1,40})_(.*)", re.DOTALL)


def marked(marker: str, line_id: str) -> str:
    """Fits into 64 characters of ``[A-Za-z0-9_-]``: a marker has at most 40 and no underscore."""
    return f"{marker}_{line_id}"


def unmarked(custom_id: str) -> tuple[str | None, str]:
    """(marker, id of the line); the marker is None where there is none."""
    found = _MARKED.fullmatch(custom_id)
    return (found[1], found[2]) if found else (None, custom_id)
