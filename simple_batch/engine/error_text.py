"""What an error body says: its words, codes and fields, in whatever shape a provider gives them.

Shapes: OpenAI (``error.message``, ``error.code``), FastAPI (``detail``: a text, or a list of
{loc, msg}), Google (a list of errors, ``error.details``), MiniMax (``base_resp.status_msg``),
OpenRouter (``error.metadata.raw``), ASP.NET (``errors``: {field: [text]}), JSON as text within a
message (Gemini, LiteLLM), a Python list within one (vLLM), HTML, and plain text.
"""

import ast
import re
import warnings
from collections.abc import Iterator
from typing import Any

import msgspec

from ..core.lazy_pattern import lazy_pattern
from .quotes import unquoted
from .surrogates import mended

MAX_BODY = 200_000  # bytes that are read
MAX_VALUES = 2_000
MAX_DEPTH = 12
MAX_SENTENCES = 10
MAX_WORDS = 8_000  # characters
MAX_MARKS = 4
_MAX_LITERAL = 20_000  # characters of a Python value
_MAX_TEXT = 4_000

_MESSAGES = (
    "message",
    "msg",
    "error_msg",
    "error_message",
    "errorMessage",
    "errmsg",
    "faultstring",
    "err",
    "exception",
    "body",
    "status_msg",
    "detail",
    "details",
    "error",
    "errors",
    "error_description",
    "raw",
)
_SECONDARY = ("title", "description", "desc", "reason", "info", "text", "cause", "explanation")
_CODES = frozenset(
    {
        "code",
        "type",
        "status",
        "status_code",
        "statusCode",
        "error_code",
        "errorCode",
        "err_code",
        "error_type",
        "errorcode",
        "__type",
        "reason",
        "quotaId",
        "blockReason",
    }
)
_STATUSES = frozenset(
    {"code", "status", "status_code", "statusCode", "error_code", "error", "http_code", "httpCode"}
    | {"http_status", "httpStatus", "http_status_code"}
)
_PARAMS = frozenset({"param", "field", "parameter"})
_NAMED = frozenset(_MESSAGES) | frozenset(_SECONDARY) | _CODES | _STATUSES | _PARAMS
_ECHOES = frozenset({"input", "ctx", "failed_generation", "request", "prompt"})  # not its words
_UNNAMED = frozenset(
    {"seconds", "value", "amount", "count", "nanos", "after", "delay", "until"}
)  # the name above says what it is
_PAGE = lazy_pattern(r"<(?:!doctype|html|head|body|h\d|p|div|center)\b", re.I)
_SAID = lazy_pattern(  # in what can be read neither as JSON nor as Python: cut off, or with objects in it
    r"""(?<!\w)['"](?:message|msg)['"]\s*:\s*(?:'((?:[^'\\]|\\.){1,2000})'|"((?:[^"\\]|\\.){1,2000})")"""
)
_TAG = lazy_pattern(r"<(?:(?:script|style)\b.*?</(?:script|style)|[^>]{0,500})>", re.S | re.I)
_EMPTY = (b"", b"null", b"{}", b"[]", b'""', b"false", b"0")
_SUCCESS = ("0", "200", "ok", "success")
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class ErrorBody(msgspec.Struct, frozen=True):
    """``text`` is for the user: the provider's sentences, with its codes behind them in parentheses;
    ``words`` are the sentences alone, ``judged`` the same without what they quote. ``codes`` are the values of code, type, status and the like;
    ``status`` the HTTP status that the body names, if any; ``params`` the parameters of the request
    that it names; ``fields`` all other single values with their names. ``said`` is False if the body
    has no message where one is expected."""

    text: str = ""
    words: str = ""
    codes: tuple[str, ...] = ()
    status: int | None = None
    params: tuple[str, ...] = ()
    fields: tuple[tuple[str, Any], ...] = ()
    said: bool = False
    has_generation: bool = False  # the body quotes what the model generated
    judged: str = ""


def is_error(found: bytes) -> bool:
    """Whether an ``error``, as JSON, says that there is one. Some gateways send it with each answer: with
    nothing in it, or with the code of a success."""
    if found in _EMPTY:
        return False
    error = _decode(found)
    if not isinstance(error, dict):
        return True
    return any(value and str(value).lower() not in _SUCCESS for value in error.values())


def read_error(body: bytes, http_status: int | None = None) -> ErrorBody:
    """What the body of an error says. Never raises for what is in it."""
    try:
        data = _decode(mended(body[:MAX_BODY]))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _of_text(body, http_status)
    return read_error_value(data, http_status)


def read_error_value(data: Any, http_status: int | None = None) -> ErrorBody:
    """The same for a body that is decoded already."""
    reader = _Reader()
    reader.read(data)
    return reader.found(http_status, data)


def _of_text(body: bytes, http_status: int | None) -> ErrorBody:
    text = body[: 4 * _MAX_TEXT].decode("utf-8", "replace").replace("\x00", "�")
    reader = _Reader()
    reader.say(" ".join(_TAG.sub(" ", text).split())[:_MAX_TEXT])
    return reader.found(http_status, None)


class _Reader:
    """Walks through an error body once, message fields first."""

    def __init__(self) -> None:
        self.sentences: list[str] = []
        self.secondary: list[str] = []
        self.codes: list[str] = []
        self.params: list[str] = []
        self.fields: list[tuple[str, Any]] = []
        self.status: int | None = None
        self.has_generation = False
        self._values = 0

    def found(self, http_status: int | None, data: Any) -> ErrorBody:
        said = bool(self.sentences or self.secondary)
        sentences = self.sentences or self.secondary or _any_texts(data)
        words = _whole("; ".join(sentences[:MAX_SENTENCES])[:MAX_WORDS])
        marks = _whole(self._marks(words, http_status))
        if not words and not marks and data not in (None, {}, [], ""):
            words = _encode(data).decode()[:_MAX_TEXT]
        text = f"{words} ({marks})" if words and marks else words or marks
        return ErrorBody(
            text,
            words,
            tuple(self.codes),
            self.status,
            tuple(self.params),
            tuple(self.fields),
            said,
            self.has_generation,
            unquoted(words),
        )

    def _marks(self, words: str, http_status: int | None) -> str:
        marks: list[str] = []
        for code in self.codes:
            known = code in words or code in marks or code == str(http_status)
            if not known and "://" not in code and len(marks) < MAX_MARKS:
                marks.append(code)
        return ", ".join(marks)

    def read(self, value: Any, name: str = "", depth: int = 0) -> None:
        self._values += 1
        if depth > MAX_DEPTH or self._values > MAX_VALUES:
            return
        if isinstance(value, dict):
            self._object(value, name, depth)
        elif isinstance(value, list | tuple):
            for item in value:
                self.read(item, name, depth + 1)
        elif isinstance(value, str) and (name in _MESSAGES or not name):
            self.say(value, depth)
        elif value is not None:
            self._note(name, value)

    def _object(self, value: dict[Any, Any], name: str, depth: int) -> None:
        if isinstance(value.get("msg"), str) and isinstance(value.get("loc"), list | tuple):
            self._fault(value["loc"], value["msg"])
            return
        value = {_plain_name(key): item for key, item in value.items()}
        for key in _MESSAGES:
            if key in value:
                self.read(value[key], key, depth + 1)
        for key, item in value.items():
            if key in _MESSAGES or not isinstance(key, str):
                continue
            if key in _ECHOES:
                self.has_generation = self.has_generation or key == "failed_generation"
            elif name == "errors" and _is_fault(key, item) and not value.keys() & set(_MESSAGES):
                self._faults_of(key, item if isinstance(item, list) else [item])
            elif isinstance(item, dict | list):
                self.read(item, key, depth + 1)
            elif item is not None:
                self._note(f"{name}-{key}" if key in _UNNAMED and name else key, item)

    def _fault(self, loc: Any, message: str) -> None:
        """An entry of FastAPI's list: where in the request, and what is wrong there."""
        place = ".".join(str(part) for part in loc)
        self.params.append(place)
        self.say(f"{place}: {message}" if place else message)

    def _faults_of(self, field: str, texts: list[Any]) -> None:
        self.params.append(field)
        for text in texts:
            self.say(f"{field}: {text}" if isinstance(text, str) else "")

    def _note(self, name: str, value: Any) -> None:
        """A single value that is no message."""
        text = str(value).strip().removesuffix(".0")
        if name in _PARAMS and text:
            self.params.append(text)
        if name in _STATUSES and re.fullmatch("[45][0-9]{2}", text):
            self.status = self.status or int(text)
        if name in _SECONDARY and isinstance(value, str) and (" " in text or name not in _CODES):
            self.secondary.append(text[:_MAX_TEXT])
        elif (
            name in _CODES and text not in ("", *self.codes) and not isinstance(value, bool | float)
        ):
            self.codes.append(text[:200])
        if not isinstance(value, str) or len(value) <= 200:
            self.fields.append((name, value))

    def say(self, text: str, depth: int = 0) -> None:
        """Note a sentence. JSON or a Python value within it is read as such."""
        text = text.strip()[: MAX_BODY if text[:1] in "[{" else _MAX_LITERAL]
        if text[:1] == text[-1:] == '"':
            text = _unquoted(text)
        if _PAGE.search(text):
            text = " ".join(_TAG.sub(" ", text).split())
        for start, end in _brackets(text) if depth < MAX_DEPTH else ():
            nested = _nested(text[start:end], alone=end - start == len(text))
            if nested is not None:
                self._add(text[:start].removesuffix("b'").strip(" -:'\"\n"))
                self.read(nested, "", depth + 1)
                return
        parts = _SAID.findall(text) if "{" in text and depth < MAX_DEPTH else ()
        for part in parts:
            self.say("".join(part), depth + 1)
        if not parts:
            self._add(text)

    def _add(self, text: str) -> None:
        text = " ".join(text.split())[:_MAX_TEXT]
        if text and not any(text in known for known in self.sentences):
            self.sentences.append(text)


def _whole(text: str) -> str:
    """A text that can be stored: pairs of surrogates are joined, and half of one is replaced."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _plain_name(key: Any) -> Any:
    """A name as others write it: AWS and Alibaba Cloud begin with a capital (``Message``, ``Code``)."""
    if not isinstance(key, str) or not key[:1].isupper():
        return key
    plain = key[0].lower() + key[1:]
    return plain if plain in _NAMED else key


def _unquoted(text: str) -> str:
    """A text that is given as JSON within JSON."""
    try:
        value = _decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return text
    return value if isinstance(value, str) else text


def _brackets(text: str) -> list[tuple[int, int]]:
    """(start, end) of what may be an object or a list within a text, the earlier first."""
    found = ((text.find(begin), text.rfind(end) + 1) for begin, end in ("{}", "[]"))
    return sorted((start, end) for start, end in found if 0 <= start < end)


def _is_fault(field: str, value: Any) -> bool:
    """Whether an entry of ``errors`` is a field of the request with what is wrong there."""
    named = field in _CODES or field in _PARAMS or field in _SECONDARY
    return not named and isinstance(value, list | str)


def _nested(text: str, alone: bool) -> Any:
    """The object, or the list of objects, that a text is in JSON or in Python; None if it is not.
    ``alone``: a list of texts is read too."""
    value: Any = None
    try:
        value = _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, UnicodeEncodeError, RecursionError):
        if len(text) <= _MAX_LITERAL and "'" in text:
            value = _python_value(text)
    kinds = (dict, str) if alone else dict
    if isinstance(value, dict):
        return value
    if isinstance(value, list) and any(isinstance(item, kinds) for item in value):
        return value
    return None


def _python_value(text: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about escapes in another program's text
            return _literal(ast.parse(text.strip(), mode="eval").body)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return None


def _literal(node: ast.expr) -> Any:
    """The value of a literal; of an object in it (``ValueError('no')``), its first argument. Raises
    ValueError for anything else."""
    if isinstance(node, ast.Call):
        return _literal(node.args[0]) if node.args else ""
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return {_literal(key): _literal(value) for key, value in pairs if key is not None}
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return [_literal(item) for item in node.elts]
    return ast.literal_eval(node)


def _any_texts(data: Any) -> list[str]:
    """Texts of several words anywhere in a body that has no message where one is expected."""
    texts = (" ".join(text.split()) for text in _texts(data, 0))
    return list(dict.fromkeys(text for text in texts if " " in text or not text.isascii()))


def _texts(data: Any, depth: int) -> Iterator[str]:
    if isinstance(data, str):
        yield data[:_MAX_TEXT]
    elif depth < MAX_DEPTH and isinstance(data, dict):
        for name, value in data.items():
            if name not in _ECHOES:
                yield from _texts(value, depth + 1)
    elif depth < MAX_DEPTH and isinstance(data, list):
        for value in data:
            yield from _texts(value, depth + 1)
