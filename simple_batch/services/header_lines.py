"""Headers and query parameters as users write them: one a line, ``Name: value`` and ``name=value``."""

from collections.abc import Iterator

from ..core.errors import InvalidInput
from ..core.messages import translatable
from .header_checks import checked_headers, checked_query


def read_headers(text: str) -> dict[str, str]:
    """Headers by name. Raises InvalidInput."""
    return checked_headers(_pairs(text, ":", "headers"), "headers")


def read_query(text: str) -> dict[str, str]:
    """Query parameters by name. Raises InvalidInput."""
    return checked_query(_pairs(text, "=", "query"), "query")


def header_lines(headers: dict[str, str]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in headers.items())


def query_lines(query: dict[str, str]) -> str:
    return "\n".join(f"{name}={value}" for name, value in query.items())


def pair(text: str, mark: str, field: str) -> tuple[str, str]:
    """A name and its value, which may be empty. Raises InvalidInput, not quoting the text: it may be a
    secret."""
    name, found, value = text.partition(mark)
    if not found or not name.strip():
        example = "X-Title: reviews" if mark == ":" else "api-version=2024-10-21"
        raise InvalidInput(
            translatable("Write a name and a value, for example %(example)s.", example=example),
            field,
        )
    return name.strip(), value.strip()


def _pairs(text: str, mark: str, field: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        if line.strip():
            yield pair(line, mark, field)
