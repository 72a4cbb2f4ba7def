"""One item of an upload → a request, or a fault that says what to do.

Source of the Batch API's line format and fault codes: OpenAI's API reference.
"""

import re
from collections.abc import Callable
from functools import partial
from typing import Literal

import msgspec

from ..core.domain import EMBEDDINGS, Fault, Request
from ..core.errors import InvalidInput
from ..core.excerpt import excerpt
from ..core.json_faults import Path, offset_of
from ..core.messages import translatable
from ..core.prompt_prefix import prefix_of
from ..core.settings import Settings
from .body_fault import InvalidBody, place_of
from .provider_lines import endpoint_of, endpoint_of_body, is_foreign, rewritten
from .request_checks import (
    LARGE,
    NONE,
    TOO_LONG,
    UNREADABLE,
    Bad,
    ChatMessage,
    check_contents,
    check_id,
    check_messages,
    check_nesting,
    check_text,
    custom_id_in,
    fields_of,
    text_in,
)

URLS = frozenset(
    {
        "/v1/chat/completions",
        "/v1/completions",
        EMBEDDINGS,
        "/v1/responses",
        "/v1/moderations",
        "/v1/images/generations",
        "/v1/messages",  # Anthropic's
    }
)
EXCERPTS = 100  # faults of one file that show their line
_encode = msgspec.json.Encoder().encode
_LEADING_ID = re.compile(rb'\s*\{\s*"custom_id"\s*:\s*"[^"\\]*"\s*,\s*')


class _KnownMessage(ChatMessage):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]


class _Plain(msgspec.Struct):
    messages: list[_KnownMessage]
    custom_id: str | None = None


class _Shape(msgspec.Struct):
    """What tells a message from a request; the rest is skipped."""

    role: msgspec.Raw = NONE
    messages: msgspec.Raw = NONE


class _Kind(msgspec.Struct):
    """What tells a line of a batch file from a plain request; the rest is skipped."""

    url: msgspec.Raw = NONE
    custom_id: msgspec.Raw = NONE
    key: msgspec.Raw = NONE
    body: msgspec.Raw = NONE
    params: msgspec.Raw = NONE
    request: msgspec.Raw = NONE
    messages: msgspec.Raw = NONE


_shapes = msgspec.json.Decoder(list[_Shape]).decode
_kind = msgspec.json.Decoder(_Kind).decode
_plain_item = msgspec.json.Decoder(_Plain).decode
# custom_id, url, body, id of the config that the line picks
_Line = tuple[str, str, bytes, int | None]


class Rules(msgspec.Struct, frozen=True):
    """What a file of the Batch API must keep to. Every line is for the endpoint ``url``;
    ``config_of(model)`` is the id of the API config that a line's model picks, None where there is
    none; ``max_lines`` bounds their number (0: it does not). What is in a body is the provider's
    business: it refuses line by line."""

    url: str
    config_of: Callable[[str], int | None]
    max_lines: int


class Items:
    """Turns items of one file into requests. ``kind`` is ``object`` ({"messages": …}), ``messages``
    (an array of messages) or ``batch`` (OpenAI's batch lines)."""

    def __init__(self, kind: str, max_nesting: int, rules: Rules | None = None):
        turns = {"object": self._object, "messages": self._array, "batch": self._batch}
        self._turn: Callable[[bytes], _Line] = turns[kind]
        if rules is not None:
            self._turn = partial(self._ruled, rules)
        self._max_nesting = max_nesting
        self._url = rules.url if rules is not None else None
        self._ruled_url = self._url
        self._configs: dict[str, int | None] = {}  # of the models met so far
        self._excerpts = 0

    def request(
        self, raw: bytes | Bad | None, clean: bool, line: int, ordinal: int, index: int
    ) -> Request | Fault:
        """``ordinal`` counts the file's items from 1, ``index`` its good ones from 0; ``clean``
        where ``check_text`` was passed already."""
        try:
            if raw is None:
                raise Bad("invalid_request", TOO_LONG)
            if isinstance(raw, Bad):
                raise raw
            if not clean:
                check_text(raw)
            if raw.count(b"[") + raw.count(b"{") > self._max_nesting:
                check_nesting(raw, self._max_nesting)
            custom_id, url, body, config_id = self._turn(raw)
            name = custom_id or f"request-{ordinal}"
            prefix = prefix_of(url, body)
            return Request(index, name, body, url, line, config_id, prefix=prefix)
        except Bad as bad:
            if not isinstance(raw, bytes) or self._excerpts >= EXCERPTS:
                return Fault(line, bad.code, bad.message, bad.param)
            self._excerpts += 1
            return fault_with_excerpt(bad, line, raw)

    def _object(self, raw: bytes) -> _Line:
        """In one pass where nothing is wrong; what is wrong is found in a second one."""
        if len(raw) > LARGE:
            return self._object_by_fields(raw)
        try:
            item = _plain_item(raw)
            check_contents(item.messages)
        except UNREADABLE:
            return self._object_by_fields(raw)
        if not item.custom_id:
            return self._object_by_fields(raw) if b'"custom_id"' in raw else _chat(raw.strip())
        leading = _LEADING_ID.match(raw)
        if leading is None or raw.count(b'"custom_id"') > 1:
            return self._object_by_fields(raw)
        check_id(item.custom_id)
        return item.custom_id, "/v1/chat/completions", b"{" + raw[leading.end() :].strip(), None

    def _object_by_fields(self, raw: bytes) -> _Line:
        fields = fields_of(raw)
        if "messages" not in fields:
            if {"body", "url"} <= fields.keys() or is_foreign(fields):
                raise Bad(
                    "invalid_request",
                    translatable("a batch line among plain requests: do not mix."),
                )
            raise Bad("invalid_request", _no_messages(fields), path=())
        check_messages(fields["messages"])
        custom_id = custom_id_in(fields.pop("custom_id", None))
        return (
            custom_id,
            "/v1/chat/completions",
            _encode(fields) if custom_id else raw.strip(),
            None,
        )

    def _array(self, raw: bytes) -> _Line:
        check_messages(raw)
        return "", "/v1/chat/completions", b'{"messages":' + raw.strip() + b"}", None

    def _batch(self, raw: bytes) -> _Line:
        custom_id, url, body, fields = self._batch_line(raw)
        if url == "/v1/chat/completions":
            if "messages" not in fields:
                raise Bad(
                    "invalid_request",
                    translatable('"messages" is missing in "body".'),
                    "body.messages",
                )
            check_messages(fields["messages"], ("body", "messages"))
        return custom_id, url, body, None

    def _ruled(self, rules: Rules, raw: bytes) -> _Line:
        """A batch line that keeps to the rules, with the config that its model picks."""
        custom_id, url, body, fields = self._batch_line(raw)
        if bytes(fields.get("stream", b"")) == b"true":
            raise Bad(
                "invalid_request",
                translatable('"stream" cannot be true in a batch.'),
                "body.stream",
            )
        if "model" not in fields:
            raise Bad(
                "missing_required_parameter",
                translatable('"model" is missing in "body".'),
                "body.model",
            )
        model = text_in(fields["model"], "model", "body.model")
        if model not in self._configs:
            self._configs[model] = rules.config_of(model)
        config_id = self._configs[model]
        if config_id is None:
            raise Bad(
                "model_not_found",
                translatable(
                    "no active connection has the name or the model %(model)r: make one first.",
                    model=model[:100],
                ),
                "body.model",
            )
        return custom_id, url, body, config_id

    def _batch_line(self, raw: bytes) -> tuple[str, str, bytes, dict[str, msgspec.Raw]]:
        """(custom_id, url, body, the body's fields)."""
        fields = fields_of(raw)
        if is_foreign(fields):
            name, body = rewritten(fields)
            check_id(name)
            url, given, inside = "/v1/chat/completions", None, fields_of(body)
        else:
            _check_present(fields)
            body = bytes(fields["body"])
            inside = fields_of(body, '"body"', ("body",))
            given = fields.get("url")
            url = self._url_of(given, inside)
            name = custom_id_in(fields["custom_id"])
        if self._url is not None and url != self._url:
            raise Bad(
                "url_mismatch",
                translatable('"url" differs from %(url)s: one batch, one url.', url=self._url),
                "url",
            )
        self._url = url
        if not name:
            raise Bad("invalid_request", translatable('"custom_id" is empty.'), "custom_id")
        return name, url, body, inside

    def _url_of(self, given: msgspec.Raw | None, body: dict[str, msgspec.Raw]) -> str:
        """The endpoint of a line: the one it names, in whatever form its provider has; without a name
        that of the batch, or the only one that takes such a body."""
        if given is None:
            url = self._ruled_url or endpoint_of_body(body)
            if url is None:
                raise Bad(
                    "missing_required_parameter",
                    translatable(
                        '"url" is missing in this batch line, and its body does not tell the endpoint.'
                    ),
                    "url",
                )
            return url
        found = endpoint_of(text_in(given, "url"))
        if found is None:
            raise Bad(
                "invalid_url",
                translatable('"url" must be one of %(allowed)s.', allowed=", ".join(sorted(URLS))),
                "url",
            )
        return found


def _check_present(fields: dict[str, msgspec.Raw]) -> None:
    """Raises Bad where a batch line lacks a field. Method and url may be missing together: the batch
    lines of Mistral and Ark have neither."""
    bare = "method" not in fields and "url" not in fields
    needed = ("custom_id", "body") if bare else ("custom_id", "method", "url", "body")
    missing = next((name for name in needed if name not in fields), None)
    if missing is not None:
        raise Bad(
            "missing_required_parameter",
            translatable('"%(name)s" is missing in this batch line.', name=missing),
            missing,
        )
    if not bare and text_in(fields["method"], "method") != "POST":
        raise Bad("invalid_method", translatable('"method" must be "POST".'), "method")


def _no_messages(fields: dict[str, msgspec.Raw]) -> str:
    """What an object without messages may be meant for."""
    name = next(iter(fields), None)
    if name is not None and "body" not in fields and bytes(fields[name])[:1] not in b"[{":
        return translatable(
            '"messages" is missing: give {"messages": [...]}. If these are rows of a table, give a '
            "template."
        )
    return translatable('"messages" is missing: give {"messages": [...]}.')


def fault_with_excerpt(bad: Bad, line: int, raw: bytes) -> Fault:
    """The fault of an item, with the part of it around the place."""
    at = bad.at or 0
    path: Path = bad.path or ()
    if path:
        at += offset_of(raw, path)
    elif bad.at is None and bad.path is None:
        return Fault(line, bad.code, bad.message, bad.param)
    shown = excerpt(raw, at)
    return Fault(line, bad.code, bad.message, bad.param, excerpt=shown.text, mark=shown.mark)


def check_body(text: str, settings: Settings) -> bytes:
    """A request body that a user edited, as bytes. Raises InvalidInput saying what is wrong; InvalidBody
    says where."""
    raw = text.strip().encode("utf-8", "surrogatepass")
    if len(raw) > settings.MAX_REQUEST_BYTES:
        raise InvalidInput(
            translatable("The request is longer than MAX_REQUEST_BYTES allows."), "body"
        )
    try:
        check_text(raw)
        check_nesting(raw, settings.MAX_NESTING)
        fields = fields_of(raw)
        if "messages" in fields:
            check_messages(fields["messages"])
        elif not fields.keys() & {"input", "prompt"}:
            raise Bad("invalid_request", translatable('"messages" is missing.'))
    except Bad as bad:
        message = translatable("The request: %(message)s", message=bad.message)
        raise InvalidBody(message, place_of(bad, text, raw)) from None
    return _encode(fields)


def _chat(body: bytes) -> _Line:
    return "", "/v1/chat/completions", body, None


def kind_of(raw: bytes) -> str | None:
    """Which kind of item this is, by its shape; None where it is none of them."""
    try:
        if raw.lstrip()[:1] == b"[":
            return "messages"
        item = _kind(raw)
    except UNREADABLE:
        return None
    if bytes(item.messages):
        return "object"
    body, url, custom_id = bytes(item.body), bytes(item.url), bytes(item.custom_id)
    is_line = (
        (body[:1] == b"{" and (url or custom_id))
        or (body and url and custom_id)
        or (custom_id and bytes(item.params)[:1] == b"{")
        or (bytes(item.key) and bytes(item.request)[:1] == b"{")
    )
    return "batch" if is_line else "object"


def is_conversation(raw: bytes) -> bool:
    """True for a whole JSON array of messages (and not of requests)."""
    try:
        items = _shapes(raw)
    except UNREADABLE:
        return False
    return bool(items) and bool(bytes(items[0].role)) and not bytes(items[0].messages)
