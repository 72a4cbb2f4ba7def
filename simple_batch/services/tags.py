"""Tags of jobs as users write them: words with commas between."""

import re
from collections.abc import Iterable

from ..core.errors import InvalidInput
from ..core.messages import translatable

LONGEST = 40  # characters of a tag
MOST = 20  # tags of a job


def tags_of(text: str) -> tuple[str, ...]:
    """The tags in a text, each once; upper and lower case are the same. Raises InvalidInput."""
    found: dict[str, str] = {}
    for part in re.split("[,，]", text or ""):
        tag = " ".join(part.split())
        if len(tag) > LONGEST or not tag.isprintable():
            raise InvalidInput(
                translatable("Tags: up to %(most)s printable characters each.", most=LONGEST),
                "tags",
            )
        if tag:
            found.setdefault(tag.casefold(), tag)
    if len(found) > MOST:
        raise InvalidInput(translatable("Tags: up to %(most)s for a job.", most=MOST), "tags")
    return tuple(found.values())


def tags_text(tags: Iterable[str]) -> str:
    """The same the other way round."""
    return ", ".join(tags)
