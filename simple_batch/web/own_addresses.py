"""Addresses to go on to that a request names: only those of this server are followed."""

from urllib.parse import urlsplit


def own_address(given: str) -> str:
    """The path of a page of this server, with its query; empty for anything else."""
    # browsers take a backslash for a slash, and drop tabs and line ends
    if not given.startswith("/") or given.startswith("//") or "\\" in given:
        return ""
    if not given.isprintable():
        return ""
    try:
        parts = urlsplit(given)
    except ValueError:
        return ""
    return "" if parts.scheme or parts.netloc else given
