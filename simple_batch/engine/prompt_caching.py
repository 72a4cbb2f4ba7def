"""What an endpoint lets a client say about its prompt cache, and how a request says it.

- A key (``prompt_cache_key``) that routes requests with one prefix to one cache. Only endpoints whose entry
  in the gallery says so get it: others may refuse a field that they do not know.
- A mark (breakpoint) at the end of the part that is the same in many requests. Claude caches nothing
  without one (platform.claude.com/docs/en/build-with-claude/prompt-caching). GPT-5.6 and later models match a
  prefix only where it ends in one, put one behind the last message by themselves, and bill what they write
  at 1.25 times the input price (developers.openai.com/api/docs/guides/prompt-caching). Older models refuse
  the mark. Both read 2026-11-28.
"""

import re
import tomllib
from functools import cache, lru_cache

import msgspec

from ..core.call_prices import Prices
from ..core.data_files import data_file
from ..core.domain import ApiFormat, Endpoint
from ..core.prompt_prefix import leading_system_messages

CHAT = "/v1/chat/completions"
KEYED = frozenset({CHAT, "/v1/responses"})  # endpoints whose requests may have a key
KEY = "prompt_cache_key"
MARKS = ("prompt_cache_breakpoint", "prompt_cache_options", "cache_control")
_CLAUDE = {"cache_control": {"type": "ephemeral"}}
_OPENAI = {"prompt_cache_breakpoint": {"mode": "explicit"}}
_EXPLICIT = msgspec.Raw(
    b'{"mode":"explicit"}'
)  # no mark behind the last message: it would cost a write
_GPT = re.compile(r"gpt-(\d+)(?:\.(\d+))?(?![\d.])")

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


class PromptCaching(msgspec.Struct, frozen=True):
    """Of one endpoint. ``takes_key``: requests may have a key, of which each is good for ``key_rpm`` calls
    a minute (None: any number). ``claude`` and ``openai`` say whose marks it takes, if any."""

    takes_key: bool = False
    key_rpm: int | None = None
    claude: bool = False
    openai: bool = False

    @property
    def takes_marks(self) -> bool:
        return self.claude or self.openai

    def marked(self, url: str, body: bytes) -> bytes:
        """The request with a mark at the end of its leading system messages; unchanged where it has marks
        already, or where its model takes none."""
        if url != CHAT or any(b'"%s"' % name.encode() in body for name in MARKS):
            return body
        fields = _fields(body)
        if self.openai and not _takes_breakpoints(bytes(fields.get("model", b""))):
            return body
        messages = _list(fields["messages"])
        last = leading_system_messages(messages) - 1
        message = None if last < 0 else _with_mark(messages[last], self._mark)
        if message is None:
            return body
        messages[last] = message
        fields["messages"] = msgspec.Raw(_encode(messages))
        if self.openai:
            fields["prompt_cache_options"] = _EXPLICIT
        return _encode(fields)

    @property
    def _mark(self) -> dict[str, dict[str, str]]:
        return _CLAUDE if self.claude else _OPENAI


def prompt_caching_of(endpoint: Endpoint) -> PromptCaching:
    """What an endpoint takes, by its base URL and its API format. Of an unknown one nothing is known."""
    if endpoint.api_format is ApiFormat.ANTHROPIC:
        return PromptCaching(claude=True)
    url = endpoint.base_url.rstrip("/")
    found = (caching for pattern, caching in _known() if pattern.fullmatch(url))
    return next(found, PromptCaching())


def with_key(body: bytes, key: str) -> bytes:
    """The request with a prompt cache key, unless it has one."""
    if b'"prompt_cache_key"' in body and "prompt_cache_key" in _fields(body):
        return body
    return b'{"prompt_cache_key":"%s",%s' % (key.encode(), body[1:])


def is_cheaper(prices: Prices) -> bool:
    """Whether input that is read from the cache costs less than other input, as far as is known."""
    return None not in (prices.cached_input, prices.input) and prices.cached_input < prices.input  # type: ignore[operator]


def _with_mark(message: msgspec.Raw, mark: dict[str, dict[str, str]]) -> msgspec.Raw | None:
    """The message with a mark at its last part; None where that is no text."""
    fields = _fields(message)
    content = bytes(fields.get("content", b""))
    if content[:1] == b'"':
        parts = [msgspec.Raw(_encode({"type": "text", "text": msgspec.Raw(content), **mark}))]
    elif content[:1] == b"[" and (parts := _list(content)):
        last = _fields(parts[-1])
        if bytes(last.get("type", b"")) != b'"text"':
            return None
        parts[-1] = msgspec.Raw(_encode({**last, **mark}))
    else:
        return None
    fields["content"] = msgspec.Raw(_encode(parts))
    return msgspec.Raw(_encode(fields))


@lru_cache(64)
def _takes_breakpoints(model: bytes) -> bool:
    found = _GPT.search(model.decode("utf-8", "replace"))
    return found is not None and (int(found[1]), int(found[2] or 0)) >= (5, 6)


@cache
def _known() -> list[tuple[re.Pattern[str], PromptCaching]]:
    """The base URLs of the gallery whose requests may have a key. A place to fill in, {…}, stands for any
    part of a host's name."""
    table = tomllib.loads(data_file("providers.toml").read_text("utf-8"))
    found = []
    for entry in table["provider"]:
        said = entry.get("prompt_cache")
        if said is None:
            continue
        caching = PromptCaching(True, said.get("key_rpm"), openai=said.get("breakpoints", False))
        for url in entry["regions"].values():
            parts = [re.escape(part) for part in re.split(r"\{.*?\}", url)]
            found.append((re.compile("[^./]+".join(parts)), caching))
    return found
