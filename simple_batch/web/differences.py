"""What two versions of a template have different, line by line."""

import difflib
import json
from collections.abc import Iterator

from ..clock import give_way
from ..intake import Template

FIELDS = ("url", "system", "user", "images", "parameters", "custom_id", "sheet")
CONTEXT = 3  # lines that are the same, around a difference
COMPARED = 2_000  # lines; of a longer text the old lines all go and the new ones all come


def differences(old: Template, new: Template) -> list[dict]:
    """For each field that differs its name and ``lines``: pairs of ``-`` (removed), ``+`` (added),
    `` `` (the same) or ``…`` (lines left out), and the line."""
    found = []
    for field in FIELDS:
        if (before := shown(old, field)) != (after := shown(new, field)):
            lines = list(_lines(before.split("\n"), after.split("\n")))
            found.append({"field": field, "lines": lines})
            give_way()  # long texts take a while
    return found


def shown(template: Template, field: str) -> str:
    """A field as text; empty where it says nothing."""
    value = getattr(template, field)
    if field == "custom_id" and value == "":
        return '""'  # numbered in any case, which is not the same as None
    if isinstance(value, list):
        return "\n".join(value)
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, indent=2) if value else ""
    return value or ""


def _lines(before: list[str], after: list[str]) -> Iterator[tuple[str, str]]:
    before, after = _empty(before), _empty(after)
    if max(len(before), len(after)) > COMPARED:
        yield from (("-", line) for line in before)
        yield from (("+", line) for line in after)
        return
    groups = difflib.SequenceMatcher(None, before, after).get_grouped_opcodes(CONTEXT)
    for number, group in enumerate(groups):
        if number or group[0][1]:
            yield "…", ""
        for kind, b1, b2, a1, a2 in group:
            if kind == "equal":
                yield from ((" ", line) for line in before[b1:b2])
            else:
                yield from (("-", line) for line in before[b1:b2])
                yield from (("+", line) for line in after[a1:a2])
    if group[-1][2] < len(before):
        yield "…", ""


def _empty(lines: list[str]) -> list[str]:
    return [] if lines == [""] else lines
