"""How the body of an answer is packed, as its headers say (RFC 9110, section 8.4)."""

from collections.abc import Mapping


def encoding_of(headers: Mapping[str, str]) -> str:
    """In small letters, "" where none is named. Named more than once, as proxies do, it is meant once: no
    provider packs an answer twice."""
    named = headers.get("content-encoding")
    if not named:  # of nearly all answers
        return ""
    encodings = {one.strip() for one in named.lower().split(",")}
    return encodings.pop() if len(encodings) == 1 else named.strip().lower()
