"""Parts of a message's content as Gemini has them.

Sources: https://ai.google.dev/api/caching#Part (Part, Blob, FileData) and
https://ai.google.dev/gemini-api/docs/file-input-methods, read 2026-11-28.
"""

import base64
import mimetypes
import re
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from ...core.stored_messages import NO_DATA_URL, NO_FILE, NO_URL
from .untranslatable import invalid, lacks

Piece = dict[str, Any]

_DATA = re.compile(r"data:(?P<type>[^;,]*)(?P<options>(?:;[^;,]*)*),", re.IGNORECASE)
_TYPES = {"image/jpg": "image/jpeg", "audio/mp3": "audio/mp3"}
_TEXTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}


def pieces_of(content: Any) -> list[Piece]:
    """The parts of a content: a text, a list of parts, or nothing. Raises TransportFailure."""
    if content is None:
        return []
    given = content if isinstance(content, list) else [content]
    made = [_piece(part) for part in given]
    return [piece for piece in made if piece.get("text") != ""]


def _piece(part: Any) -> Piece:
    if not isinstance(part, dict):
        return {"text": part if isinstance(part, str) else str(part)}
    kind = part.get("type")
    if kind in _TEXTS:
        return {"text": part.get(_TEXTS[kind]) or ""}
    if kind in _MAKERS:
        made: Piece = _MAKERS[kind](part)
        return made
    if kind is not None:
        raise lacks(f"messages: type “{kind}”")
    return part  # one of the API's own


def _media(part: Piece) -> Piece:
    """An image or a video, by its address or as a data URL."""
    name = str(part["type"]).replace("input_image", "image_url")
    given = part.get(name)
    url = given.get("url") if isinstance(given, dict) else given
    if not isinstance(url, str):
        raise invalid(name, NO_URL())
    return _by_url(url, name)


def _by_url(url: str, name: str) -> Piece:
    if url[:5].lower() != "data:":
        guessed = mimetypes.guess_type(urlsplit(url).path)[0]
        return {"file_data": {"file_uri": url, **({"mime_type": guessed} if guessed else {})}}
    found = _DATA.match(url)
    if found is None:
        raise invalid(name, NO_DATA_URL())
    data = url[found.end() :]
    if "base64" not in found["options"].lower():
        data = base64.b64encode(unquote_to_bytes(data)).decode()
    return _inline(found["type"].lower() or "text/plain", data)


def _inline(kind: str, data: str) -> Piece:
    return {"inline_data": {"mime_type": _TYPES.get(kind, kind), "data": data}}


def _audio(part: Piece) -> Piece:
    given = part.get("input_audio")
    if not isinstance(given, dict) or not isinstance(given.get("data"), str):
        raise invalid("input_audio", NO_FILE())
    return _inline(f"audio/{given.get('format') or 'wav'}", given["data"])


def _file(part: Piece) -> Piece:
    given = part.get("file")
    given = given if isinstance(given, dict) else {}
    if isinstance(given.get("file_id"), str):
        return {"file_data": {"file_uri": given["file_id"]}}
    data = given.get("file_data") or given.get("file_url")
    if not isinstance(data, str):
        raise invalid("file", NO_FILE())
    is_url = data[:5].lower() == "data:" or "://" in data[:12]
    return _by_url(data, "file_data") if is_url else _inline("application/pdf", data)


_MAKERS: dict[Any, Any] = {
    "image_url": _media,
    "input_image": _media,
    "video_url": _media,
    "input_audio": _audio,
    "file": _file,
}
