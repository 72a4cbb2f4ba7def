"""GET /v1/models of Anthropic's API, all its pages, in OpenAI's form.

Source: types/model_list_params.py and pagination.py of the package anthropic 2.14.0 (``limit`` up to 1,000,
``after_id``, ``has_more``, ``last_id``).
"""

from collections.abc import Callable

import msgspec

from ..transport import Reply

PATH = "/v1/models"
_FIRST = f"{PATH}?limit=1000"
_MOST_PAGES = 20


class _Model(msgspec.Struct):
    id: str


class _Page(msgspec.Struct):
    data: list[_Model]
    has_more: bool | None = None
    last_id: str | None = None


_decode = msgspec.json.Decoder(_Page).decode


def all_models(get: Callable[[str], Reply]) -> Reply:
    """The models of every page; ``get`` calls a path. A reply that is no page is returned as it is."""
    reply, models = get(_FIRST), []
    for _ in range(_MOST_PAGES):
        if reply.status != 200:
            return reply
        try:
            page = _decode(reply.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return reply
        models += page.data
        if not page.has_more or not page.last_id:
            break
        reply = get(f"{_FIRST}&after_id={page.last_id}")
    body = msgspec.json.encode({"object": "list", "data": models})
    return msgspec.structs.replace(reply, body=body)
