"""Embeddings in OpenAI's form and in Gemini's.

Sources, read 2026-11-28: https://ai.google.dev/api/embeddings (EmbedContentRequest, ContentEmbedding);
https://developers.googleblog.com/gemini-batch-api-now-supports-embeddings-and-openai-compatibility (lines of
batches: one content each).
"""

from typing import Any

import msgspec

from ...core.stored_messages import NO_JSON
from .untranslatable import invalid, lacks

_LEFT_OUT = frozenset({"model", "user"})
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_answer = msgspec.json.Decoder(
    dict[str, Any], float_hook=lambda text: msgspec.Raw(text.encode())
).decode
_encode = msgspec.json.Encoder().encode


def embed_request(body: bytes) -> bytes:
    """The EmbedContentRequest for a body of /v1/embeddings with one text. Raises TransportFailure."""
    try:
        fields = _decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as fault:
        raise invalid("body", NO_JSON(error=fault)) from None
    given = fields.pop("input", None)
    texts = given if isinstance(given, list) else [given]
    if len(texts) != 1 or not isinstance(texts[0], str):
        raise lacks("input with several texts, or with tokens")
    if fields.pop("encoding_format", None) not in (None, "float"):
        raise lacks("encoding_format")
    request: dict[str, Any] = {"content": {"parts": [{"text": texts[0]}]}}
    dimensions = fields.pop("dimensions", None)
    if dimensions is not None:
        request["output_dimensionality"] = dimensions
    kept = {name: value for name, value in fields.items() if name not in _LEFT_OUT}
    return _encode({**request, **kept})


def embedding_list(body: bytes) -> bytes:
    """An EmbedContentResponse as the answer of /v1/embeddings; anything else as it is."""
    answer = _answer(body)
    found = answer.get("embedding")
    if not isinstance(found, dict) or not isinstance(found.get("values"), list):
        return body
    usage = answer.get("usageMetadata")
    sent = usage.get("promptTokenCount") if isinstance(usage, dict) else None
    made: dict[str, Any] = {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": found["values"]}],
    }
    if isinstance(sent, int):
        made["usage"] = {"prompt_tokens": sent, "total_tokens": sent}
    return _encode(made)
