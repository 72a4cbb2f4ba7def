"""Parts of a message's content as the Messages API has them.

Sources: types/content_block_param.py and types/*_source_param.py of the package anthropic 2.14.0;
https://platform.claude.com/docs/en/build-with-claude/vision and …/pdf-support (read 2026-11-28).
"""

import base64
import binascii
import re
from typing import Any
from urllib.parse import unquote_to_bytes

from ...core.stored_messages import NO_DATA_URL, NO_FILE, NO_URL, NOT_UTF8
from .no_counterpart import field, invalid

Block = dict[str, Any]

_DATA = re.compile(r"data:(?P<type>[^;,]*)(?P<options>(?:;[^;,]*)*),", re.IGNORECASE)
_IMAGE_TYPES = {"image/jpg": "image/jpeg"}  # what files are called, not what the type is
_DETAILS = (None, "auto", "high")  # an image is always looked at in full
_OTHERS = frozenset({"input_audio", "audio", "audio_url", "video_url", "input_video"})
_PDF = "application/pdf"
# developers.openai.com/api/docs/guides/prompt-caching: ends a prefix, as cache_control does
_OPENAI_MARK = "prompt_cache_breakpoint"


def blocks_of(content: Any) -> list[Block]:
    """The blocks of a content: a text, a list of parts, or nothing. Raises NoCounterpart."""
    if content is None:
        return []
    if isinstance(content, list):
        return [_block(part) for part in content]
    return [text_block(content)]


def text_block(text: Any) -> Block:
    return {"type": "text", "text": text}


def _block(part: Any) -> Block:
    if not isinstance(part, dict):
        return text_block(part)
    kind = part.get("type")
    if kind in _OTHERS:
        raise field(str(kind))
    if part.get(_OPENAI_MARK) is not None:
        part = {"cache_control": {"type": "ephemeral"}, **part}
    part = {name: value for name, value in part.items() if name != _OPENAI_MARK}
    made: Block | None = _MAKERS[kind](part) if kind in _MAKERS else None
    if made is None:
        return part  # one of the API's own
    if part.get("cache_control") is not None:
        made["cache_control"] = part["cache_control"]
    return made


def _image(part: dict[str, Any]) -> Block:
    given = part.get("image_url")
    url, detail = given, part.get("detail")
    if isinstance(given, dict):
        url, detail = given.get("url"), given.get("detail", detail)
    if detail not in _DETAILS:
        raise field(f'image_url.detail "{detail}"')
    if not isinstance(url, str):
        raise invalid("image_url", NO_URL())
    if url[:5].lower() == "data:":
        return {"type": "image", "source": _inline(url, "image_url")}
    return {"type": "image", "source": {"type": "url", "url": url}}


def _file(part: dict[str, Any]) -> Block | None:
    given = part.get("file")
    if not isinstance(given, dict):
        return None
    if isinstance(given.get("file_id"), str):
        source: Block = {"type": "file", "file_id": given["file_id"]}
    elif isinstance(data := given.get("file_data") or given.get("file_url"), str):
        source = _document_source(data)
    else:
        raise invalid("file", NO_FILE())
    title = {"title": given["filename"]} if isinstance(given.get("filename"), str) else {}
    return {"type": "document", "source": source, **title}


def _document_source(data: str) -> Block:
    """The source of a document given by its address, as a data URL, or as a PDF in base64."""
    if data[:8].lower().startswith(("http://", "https://")):
        return {"type": "url", "url": data}
    if data[:5].lower() != "data:":
        return {"type": "base64", "media_type": _PDF, "data": data}
    source = _inline(data, "file_data")
    if source["media_type"] == _PDF:
        return source
    if not source["media_type"].startswith("text/"):
        raise field(f"file_data {source['media_type']}")
    try:
        text = base64.b64decode(source["data"]).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise invalid("file_data", NOT_UTF8()) from None
    return {"type": "text", "media_type": "text/plain", "data": text}


def _inline(url: str, name: str) -> Block:
    """The source that a data URL (RFC 2397) holds; it is not checked to be base64."""
    found = _DATA.match(url)
    if found is None:
        raise invalid(name, NO_DATA_URL())
    data = url[found.end() :]
    if "base64" not in found["options"].lower():
        data = base64.b64encode(unquote_to_bytes(data)).decode()
    media_type = found["type"].lower() or "text/plain"
    return {
        "type": "base64",
        "media_type": _IMAGE_TYPES.get(media_type, media_type),
        "data": data,
    }


def _text(part: dict[str, Any]) -> Block:
    return text_block(part.get("text"))


def _refusal(part: dict[str, Any]) -> Block:
    return text_block(part.get("refusal"))


_MAKERS: dict[Any, Any] = {
    "image_url": _image,
    "file": _file,
    "input_text": _text,
    "output_text": _text,
    "refusal": _refusal,
}
