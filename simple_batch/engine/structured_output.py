"""Structured output: asks for a schema, checks the answer, and asks again if it does not fit.

Endpoints differ in what they accept as ``response_format``. If an endpoint refuses one, the next
fallback level is used, down to sending none at all. The answer is checked in any case.
"""

import json
from collections.abc import Callable
from typing import Any

import msgspec

from ..core.clock import now_ms
from ..core.domain import Cause, Outcome, Request, Verdict
from ..core.schema import Schema, given
from . import error_words
from .classify import Classification, disqualified
from .error_kinds import names_format

MODES = ("send", "object", "check")
NOTHING = "nothing"  # the last fallback level: no format is asked for
CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
URLS = (CHAT, RESPONSES, "/v1/completions")
_NAME = "answer"
_LONGEST = 20_000  # characters of an answer, and of a schema, sent when asking again
_MAY_REJECT = frozenset(  # causes of a rejected parameter, whatever the status
    {Cause.BAD_REQUEST, Cause.NOT_FOUND, Cause.AUTH, Cause.SERVER_ERROR, Cause.BAD_RESPONSE}
)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Structure:
    """``mode``: "send" asks with the schema, "object" for any JSON object, "check" not at all.
    ``again``: an answer that does not fit is sent back with the complaint. ``fell_back`` is
    called with the refused level and the new one when the endpoint has refused a level."""

    def __init__(
        self,
        schema: Schema,
        mode: str = "send",
        again: bool = False,
        fell_back: Callable[[str, str], None] = lambda refused, now: None,
    ):
        self._schema = schema
        self._again = again
        self._fell_back = fell_back
        self._formats = [one for one in _formats(schema) if _rank(one) >= MODES.index(mode)]
        self.level = 0
        self._lowered_at: list[int] = []  # epoch ms

    @property
    def again(self) -> bool:
        """Whether an answer that does not fit is sent back."""
        return self._again

    @property
    def format_name(self) -> str:
        """The current fallback level: json_schema (strict), json_schema, json_object, or nothing."""
        return self._formats[self.level]

    def level_at(self, moment: int) -> int:
        """The fallback level at a moment (epoch ms), as far as this process knows."""
        return sum(lowered < moment for lowered in self._lowered_at)

    def fields(self, url: str) -> dict[str, Any]:
        """Fields to add to a body for ``url`` that does not set them itself."""
        return self.fields_at(self.level, url)

    def fields_at(self, level: int, url: str) -> dict[str, Any]:
        """The same at another fallback level."""
        form = _response_format(self._formats[level], self._schema)
        if form is None:
            return {}
        if url == CHAT:
            return {"response_format": form}
        if url == RESPONSES:
            return {"text": {"format": {**form.pop("json_schema", {}), **form}}}
        return {}

    def checked(self, finding: Classification) -> Classification:
        """The same, unless it is an answer that does not fit."""
        if finding.cause is not None or finding.response is None:
            return finding
        complaint = self._schema.complaint(finding.response)
        if complaint is None:
            return finding
        unfit = complaint[0] is Cause.SCHEMA
        verdict = Verdict.RETRY if self._again and unfit else Verdict.FINAL
        outcome = Outcome.SCHEMA if unfit else Outcome.REFUSED
        return disqualified(finding, *complaint, verdict, outcome)

    def falls_back(self, request: Request, level: int, finding: Classification) -> bool:
        """Whether to send a request that was sent at ``level`` again at once, at the next fallback
        level, because the endpoint does not accept ``response_format`` as it was sent."""
        if not _rejects_format(finding):
            return False
        if level + 1 == len(self._formats) or _asks_itself(request):
            return False
        if level == self.level:
            refused = self.format_name
            self.level += 1
            self._lowered_at.append(now_ms())
            self._fell_back(refused, self.format_name)
        return True

    def corrected(self, url: str, body: bytes, finding: Classification) -> bytes:
        """A body with the answer that did not fit, and what is wrong with it, behind its messages;
        where it holds no messages, as it was."""
        name = {CHAT: "messages", RESPONSES: "input"}.get(url)
        fields = _decode(body)
        if name not in fields or finding.response is None:
            return body
        messages = msgspec.json.decode(fields[name])
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        answer = given(finding.response).text[:_LONGEST]
        if answer:
            messages.append({"role": "assistant", "content": answer})
        messages.append({"role": "user", "content": self._correction(finding.message)})
        fields[name] = msgspec.Raw(_encode(messages))
        return _encode(fields)

    def _correction(self, complaint: str) -> str:
        text = (
            f"Your answer cannot be used: {complaint}.\nAnswer again, with nothing but JSON that "
        )
        schema = _encode(self._schema.document).decode()
        if self.format_name.startswith("json_schema") or len(schema) > _LONGEST:
            return text + "fits the schema."
        return f"{text}fits this JSON Schema:\n{schema}"


def structure_of(
    schema: str | None,
    mode: str,
    again: bool,
    fell_back: Callable[[str, str], None] = lambda refused, now: None,
) -> Structure | None:
    """The shape that a job's row says, its schema as JSON; None where it says none."""
    return Structure(Schema(json.loads(schema)), mode, again, fell_back) if schema else None


def _formats(schema: Schema) -> list[str]:
    strict = ["json_schema (strict)"] if schema.strict else []
    return [*strict, "json_schema", "json_object", NOTHING]


def _rank(name: str) -> int:
    return {"json_object": 1, NOTHING: 2}.get(name, 0)


def _response_format(name: str, schema: Schema) -> dict[str, Any] | None:
    if name == NOTHING:
        return None
    if name == "json_object":
        return {"type": "json_object"}
    strict = name.endswith("(strict)")
    shape = {"name": _NAME, "schema": schema.document, "strict": strict}
    return {"type": "json_schema", "json_schema": shape}


def _rejects_format(finding: Classification) -> bool:
    """Whether an error rejects the parameter that asks for a schema: it names the parameter, or (a
    client error) the schema. A generation that does not fit the schema is no rejection."""
    if finding.cause not in _MAY_REJECT or finding.failed_generation:
        return False
    if finding.http_status is None or finding.http_status == 401:
        return False
    if names_format(finding.params) or error_words.FORMAT_NAMES.search(finding.message):
        return True
    if error_words.OTHER_SCHEMAS.search(finding.message):
        return False
    if finding.cause is Cause.BAD_REQUEST and error_words.SCHEMA_WORDS.search(finding.message):
        return True
    return bool(error_words.GRAMMAR_WORDS.search(finding.message))


def _asks_itself(request: Request) -> bool:
    """Whether the user's own body sets the format of the answer."""
    body = _decode(request.body)
    if request.url == RESPONSES:
        return b'"format"' in bytes(body.get("text", b""))
    return "response_format" in body
