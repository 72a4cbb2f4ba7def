"""A template: the texts that make a request of a row of a table, as it is kept and checked.

Its texts are Jinja; a field that holds just the name of a column, `{{Customer name}}`, takes any
name that a column may have. renderer.py makes the requests.
"""

import re
from collections.abc import Collection, Iterator
from typing import Any

import msgspec

from ..core.domain import EMBEDDINGS
from ..core.errors import InvalidInput
from ..core.json_faults import decoding_fault
from ..core.messages import translatable

MAX_TEMPLATE_BYTES = 200_000
MAX_TAGS = 1_300  # of one template: each is three tokens or more, but comments are none
RESERVED = frozenset({"messages", "stream", "stream_options"})
CHAT = "/v1/chat/completions"
# Where the user's and the system's text stand in the requests of the other endpoints.
PLACES = {
    "/v1/responses": ("input", "instructions"),
    "/v1/completions": ("prompt", None),
    EMBEDDINGS: ("input", None),
    "/v1/moderations": ("input", None),
    "/v1/images/generations": ("prompt", None),
}
ENDPOINTS = (CHAT, *PLACES)
_WITH_IMAGES = (CHAT, "/v1/responses")  # endpoints that take images
# possessive throughout, and a raw part that does not end is taken whole: a text of braces takes no
# longer than another
FIELD = re.compile(
    r"\{%-?\s*+raw(?:(?!endraw\s*+-?%\}).)*+(?:endraw\s*+-?%\})?|"
    r"\{\{([-+]?)((?:(?!\{\{|\}\}).)*+)\}\}",
    re.DOTALL,
)


# “{name}: …” is a text
_BEGINS_JSON = re.compile(rb"""\s*+\{\s*+(?:["'}]|\w+\s*+:\s*+["'\[{]|$)""")


class Template(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """``system`` and ``user`` are the messages, ``images`` texts that come out as the addresses of
    images or the names of those beside the table (one a line), ``parameters`` what is sent beside;
    ``custom_id`` the column that names the requests (None: one of that name, where there is one;
    "": they are numbered); ``sheet`` that of a workbook ("": the first); ``url`` is the endpoint, which
    may have another name for the messages, and none for the system's; ``conversation`` is a column whose
    cells are lists of messages ("": none), which then stand between ``system`` and ``user``."""

    user: str = ""
    system: str = ""
    images: list[str] = []
    parameters: dict[str, Any] = {}
    custom_id: str | None = None
    sheet: str = ""
    url: str = CHAT
    conversation: str = ""


def template_of(data: bytes | str) -> Template:
    """A template kept as JSON. Raises InvalidInput where it is none."""
    try:
        return _checked(msgspec.json.decode(data, type=Template))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(
            translatable(
                'The template: %(error)s It looks like {"system": "…", "user": "… {{column}} '
                '…", "parameters": {}, "custom_id": "column"}; only "user" must be there.',
                error=decoding_fault(error, data.encode() if isinstance(data, str) else data),
            ),
            "template",
        ) from None


def _checked(template: Template) -> Template:
    """Raises msgspec.ValidationError where neither a text nor a conversation is there."""
    if not template.user and not template.conversation:
        raise msgspec.ValidationError("Object missing required field `user`")
    return template


def template_of_file(data: bytes) -> Template:
    """A file of either kind: JSON, or a text that is the user message. Raises InvalidInput."""
    if len(data) > MAX_TEMPLATE_BYTES:
        raise InvalidInput(
            translatable(
                "The template is longer than %(most)s bytes.",
                most=f"{MAX_TEMPLATE_BYTES:,}",
            ),
            "template",
        )
    data = data.removeprefix(b"\xef\xbb\xbf")
    if _BEGINS_JSON.match(data):
        return template_of(data)
    try:
        return Template(user=data.decode().removesuffix("\n"))
    except UnicodeDecodeError:
        raise InvalidInput(
            translatable("The template is not UTF-8: save it as UTF-8."), "template"
        ) from None


def template_text(template: Template) -> str:
    """What ``template_of`` reads."""
    return msgspec.json.encode(template).decode()


def name_and_sign(field: re.Match[str]) -> tuple[str, str]:
    """What stands in a field that FIELD found, and the sign before its end; of a raw part nothing."""
    inside = field[2] or ""
    sign = inside[-1:] if inside[-1:] in ("-", "+") else ""
    return inside.removesuffix(sign).strip(), sign


def check_texts(template: Template) -> None:
    """Raises InvalidInput for an endpoint that does not take the texts, and for empty, too long or
    too many of them."""
    _check_endpoint(template)
    if not template.user.strip() and not template.conversation:
        raise InvalidInput(translatable("The user message is empty: write the prompt."), "user")
    if len(msgspec.json.encode(template)) > MAX_TEMPLATE_BYTES:
        raise InvalidInput(
            translatable(
                "Longer than %(most)s bytes in all.",
                most=f"{MAX_TEMPLATE_BYTES:,}",
            ),
            "user",
        )
    if tags(template) > MAX_TAGS:
        raise InvalidInput(
            translatable(
                "Over %(most)s fields, statements and comments in all: use fewer.",
                most=f"{MAX_TAGS:,}",
            ),
            "user",
        )


def _check_endpoint(template: Template) -> None:
    if template.url not in ENDPOINTS:
        raise InvalidInput(
            translatable(
                "Endpoint: %(url)r is none of %(allowed)s.",
                url=template.url[:100],
                allowed=", ".join(ENDPOINTS),
            ),
            "url",
        )
    if template.system.strip() and template.url != CHAT and PLACES[template.url][1] is None:
        raise InvalidInput(
            translatable(
                "Requests to %(url)s have no system message: leave it empty.", url=template.url
            ),
            "system",
        )
    if template.conversation and template.url != CHAT:
        raise InvalidInput(
            translatable("Requests to %(url)s have no conversation.", url=template.url),
            "conversation",
        )
    if any(map(str.strip, template.images)) and template.url not in _WITH_IMAGES:
        raise InvalidInput(
            translatable("Requests to %(url)s take no images: leave them out.", url=template.url),
            "images",
        )


def check_parameters(template: Template, max_nesting: int) -> None:
    """Raises InvalidInput for a parameter that is set elsewhere, and for too many levels."""
    parameters = template.parameters
    for name in parameters:
        if name in RESERVED or name in PLACES.get(template.url, ()):
            raise InvalidInput(
                translatable("Parameters: %(name)r is set elsewhere.", name=name), "parameters"
            )
    if _deeper(parameters, max_nesting):
        raise InvalidInput(
            translatable("Parameters: nested deeper than %(most)s levels.", most=max_nesting),
            "parameters",
        )


def tags(template: Template) -> int:
    """How many fields, statements and comments there are at most."""
    every = (template.system, template.user, *template.images, *texts_of(template.parameters))
    return sum(text.count(mark) for text in every for mark in ("{{", "{%", "{#"))


def texts_of(value: object) -> Iterator[str]:
    """All texts in an object or an array of JSON, however deep, in order."""
    left = [value]
    while left:
        value = left.pop()
        if isinstance(value, str):
            yield value
        left += reversed([*parts_of(value)])


def _deeper(value: object, limit: int) -> bool:
    """Whether it is nested deeper than ``limit`` levels, of which it is the first."""
    level = [value]
    for _ in range(limit):
        level = [part for parent in level for part in parts_of(parent)]
        if not level:
            return False
    return True


def parts_of(value: object) -> Collection[object]:
    """What an object or an array of JSON holds."""
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
