"""Structured output: asks for a schema, checks the answer, and asks again if it does not fit.

Endpoints differ in what they accept as ``response_format``. If an endpoint refuses one, the next
fallback level is used, down to sending none at all. The answer is checked in any case.
"""

import json
import re
from collections.abc import Callable

import msgspec

from ..core.domain import Cause, Request, Verdict
from ..core.schema import Schema, given
from .classify import Classification, disqualified

MODES = ("send", "object", "check")
CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
URLS = (CHAT, RESPONSES, "/v1/completions")
_NAME = "answer"
_LONGEST = 20_000  # characters of an answer, and of a schema, sent when asking again
_REFUSED = re.compile(
    r"response.?format|json.?schema|json.?object|text\.format|structured.?output|guided", re.I
)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Structure:
    """``mode``: "send" asks with the schema, "object" for any JSON object, "check" not at all.
    ``again``: an answer that does not fit is sent back with the complaint. ``eased`` is
    called with the refused level and the new one when the endpoint has refused a level."""

    def __init__(
        self,
        schema: Schema,
        mode: str = "send",
        again: bool = False,
        eased: Callable[[str, str], None] = lambda refused, now: None,
    ):
        self._schema = schema
        self._again = again
        self._eased = eased
        self._ways = [way for way in _ways(schema) if _rank(way) >= MODES.index(mode)]
        self.rung = 0

    @property
    def way(self) -> str:
        """The current fallback level: json_schema (strict), json_schema, json_object, or nothing."""
        return self._ways[self.rung]

    def fields(self, url: str) -> dict:
        """Fields to add to a body for ``url`` that does not set them itself."""
        form = _format(self.way, self._schema)
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
        again = self._again and complaint[0] is Cause.SCHEMA
        return disqualified(finding, *complaint, Verdict.RETRY if again else Verdict.FINAL)

    def eases(self, request: Request, rung: int, finding: Classification) -> bool:
        """Whether to send a request that was sent at level ``rung`` again at once, at the next fallback
        level, because the endpoint does not accept ``response_format`` as it was sent."""
        if finding.http_status not in (400, 404, 422, 501) or not _REFUSED.search(finding.message):
            return False
        if rung + 1 == len(self._ways) or _asks_itself(request):
            return False
        if rung == self.rung:
            refused = self.way
            self.rung += 1
            self._eased(refused, self.way)
        return True

    def corrected(self, url: str, body: bytes, finding: Classification) -> bytes:
        """A body with the answer that did not fit, and what is wrong with it, behind its messages;
        where it holds no messages, as it was."""
        name = {CHAT: "messages", RESPONSES: "input"}.get(url)
        fields = _decode(body)
        if name not in fields or finding.response is None:
            return body
        said = msgspec.json.decode(fields[name])
        if isinstance(said, str):
            said = [{"role": "user", "content": said}]
        answer = given(finding.response).text[:_LONGEST]
        if answer:
            said.append({"role": "assistant", "content": answer})
        said.append({"role": "user", "content": self._correction(finding.message)})
        fields[name] = msgspec.Raw(_encode(said))
        return _encode(fields)

    def _correction(self, complaint: str) -> str:
        text = (
            f"Your answer cannot be used: {complaint}.\nAnswer again, with nothing but JSON that "
        )
        schema = _encode(self._schema.document).decode()
        if self.way.startswith("json_schema") or len(schema) > _LONGEST:
            return text + "fits the schema."
        return f"{text}fits this JSON Schema:\n{schema}"


def structure_of(
    schema: str | None,
    mode: str,
    again: bool,
    eased: Callable[[str, str], None] = lambda refused, now: None,
) -> Structure | None:
    """The shape that a job's row says, its schema as JSON; None where it says none."""
    return Structure(Schema(json.loads(schema)), mode, again, eased) if schema else None


def _ways(schema: Schema) -> list[str]:
    strict = ["json_schema (strict)"] if schema.strict else []
    return [*strict, "json_schema", "json_object", "nothing"]


def _rank(way: str) -> int:
    return {"json_object": 1, "nothing": 2}.get(way, 0)


def _format(way: str, schema: Schema) -> dict | None:
    if way == "nothing":
        return None
    if way == "json_object":
        return {"type": "json_object"}
    strict = way.endswith("(strict)")
    shape = {"name": _NAME, "schema": schema.document, "strict": strict}
    return {"type": "json_schema", "json_schema": shape}


def _asks_itself(request: Request) -> bool:
    """Whether the user's own body sets the format of the answer."""
    body = _decode(request.body)
    if request.url == RESPONSES:
        return b'"format"' in bytes(body.get("text", b""))
    return "response_format" in body
