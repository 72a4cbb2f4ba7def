"""How the body of an answer is packed, as its headers say (RFC 9110, section 8.4)."""

from collections.abc import Mapping


def encoding_of(headers: Mapping[str, str]) -> str:
    """In small letters, "" where it is not packed. An encoding that is named more than once, as proxies do, is
    meant once: no provider packs an answer twice. Several different ones are joined by commas."""
    named = headers.get("content-encoding")
    if not named:  # of nearly all answers
        return ""
    encodings = {one.strip() for one in named.lower().split(",")} - {"", "identity"}
    return ", ".join(sorted(encodings))
