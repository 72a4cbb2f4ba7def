"""Plain text: each line is a prompt."""

import csv
from collections.abc import Callable, Iterator

import msgspec

from ..core.domain import Fault, Request
from ..core.errors import UploadRejected
from ..core.messages import translatable
from ..core.prompt_prefix import prefix_of
from .encodings import label
from .reading import quoted_cells
from .request_checks import TOO_LONG, Bad, check_text
from .request_lines import is_conversation, kind_of
from .source import Source

URL = "/v1/chat/completions"
_encode = msgspec.json.Encoder().encode
_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class PromptLines:
    """Iterate over it for ``Request | Fault``; ``blank`` counts the lines without a text so far. Raises
    UploadRejected for a line that is JSON."""

    def __init__(self, source: Source, head: bytes):
        self._source = source
        self._text = _unquoted if _is_quoted(head) else str.strip
        self.blank = 0

    def __iter__(self) -> Iterator[Request | Fault]:
        index = ordinal = 0
        for number, lines in self._source.lines():
            for line, raw in enumerate(lines, number):
                for part in (None,) if raw is None else raw.split(b"\r"):
                    if part is not None and not part.strip():
                        self.blank += raw is not None and not raw.strip()
                        continue
                    ordinal += 1
                    item = self._item(part, line, ordinal, index)
                    index += isinstance(item, Request)
                    yield item

    def _item(self, raw: bytes | None, line: int, ordinal: int, index: int) -> Request | Fault:
        try:
            if raw is None:
                raise Bad("invalid_request", TOO_LONG)
            body = _body(raw, self._text, self._source.encoding)
        except Bad as bad:
            return Fault(line, bad.code, bad.message)
        if raw.lstrip()[:1] in (b"{", b"[") and _is_json(raw.strip()):
            raise _mixed(line)
        return Request(index, f"request-{ordinal}", body, URL, line, prefix=prefix_of(URL, body))


def _body(raw: bytes, text_of: Callable[[str], str], encoding: str) -> bytes:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise Bad(
            "invalid_encoding",
            translatable(
                "the line is not %(encoding)s text: save the file as UTF-8.",
                encoding=label(encoding),
            ),
        ) from None
    if "\0" in text:
        raise Bad("invalid_request", translatable("the line holds a NUL character: remove it."))
    body = _encode({"messages": [{"role": "user", "content": text_of(text)}]})
    check_text(body)
    return body


def _unquoted(line: str) -> str:
    return next(csv.reader([line.strip()]), [""])[0]


def _is_quoted(head: bytes) -> bool:
    lines = head.decode("utf-8", "replace").splitlines()[:100]
    return quoted_cells([line.strip() for line in lines if line.strip()])


def _is_json(raw: bytes) -> bool:
    if raw[:1] == b"[":
        return is_conversation(raw)
    try:
        return kind_of(raw) is not None or bool(_object(raw))
    except (msgspec.DecodeError, RecursionError):
        return False


def _mixed(line: int) -> UploadRejected:
    message = translatable(
        "Line %(line)s is JSON among lines of text: put all requests into JSONL, or only texts into "
        "the file.",
        line=f"{line:,}",
    )
    return UploadRejected(message, [Fault(line, "invalid_request", message)], 1)
