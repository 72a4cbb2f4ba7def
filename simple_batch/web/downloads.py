"""Answers that are files."""

from collections.abc import Iterable
from urllib.parse import quote

from flask import Response, stream_with_context


def attached(content: bytes | Iterable[bytes], name: str, content_type: str = "application/json"):
    """A download; pieces are streamed."""
    name = "".join("-" if char in '\\/:*?"<>|' or ord(char) < 32 else char for char in name)
    name = name.lstrip(".") or "download"
    plain = name.encode("ascii", "replace").decode().replace("?", "_")
    disposition = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name)}"
    return Response(
        content if isinstance(content, bytes) else stream_with_context(iter(content)),
        content_type=content_type,
        headers={"Content-Disposition": disposition, "Cache-Control": "no-store"},
    )
