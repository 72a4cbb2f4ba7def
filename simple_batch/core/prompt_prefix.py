"""The head of a request that a provider's prompt cache can hold: what tells which requests share it.

Caches hold prompts from 1,024 tokens on: OpenAI, Azure, Qwen's explicit cache; Gemini 2,048 or 4,096,
Claude 512 to 4,096 by model (developers.openai.com/api/docs/guides/prompt-caching,
ai.google.dev/gemini-api/docs/caching, platform.claude.com/docs/en/build-with-claude/prompt-caching,
help.aliyun.com/en/model-studio/context-cache; read 2026-11-28). Tools come before messages in all of them.
"""

import hashlib

import msgspec

HEAD_TOKENS = 1_024
HEAD_BYTES = 4 * HEAD_TOKENS  # of JSON; a token of English or Chinese is about 4 bytes in UTF-8
_BITS = (1 << 63) - 1
_NONE = msgspec.Raw()
_LEADING = frozenset({b'"system"', b'"developer"'})


class _Prompt(msgspec.Struct):
    """What the prompt of a request is made of, in whatever endpoint's form; the rest is skipped."""

    model: msgspec.Raw = _NONE
    tools: msgspec.Raw = _NONE
    functions: msgspec.Raw = _NONE
    instructions: msgspec.Raw = _NONE
    messages: msgspec.Raw = _NONE
    input: msgspec.Raw = _NONE
    prompt: msgspec.Raw = _NONE


class _Message(msgspec.Struct):
    role: msgspec.Raw = _NONE


_prompts = {
    url: msgspec.json.Decoder(_Prompt).decode
    for url in ("/v1/chat/completions", "/v1/completions", "/v1/responses")
}
_raw_messages = msgspec.json.Decoder(list[msgspec.Raw]).decode
_message = msgspec.json.Decoder(_Message).decode


def prefix_of(url: str, body: bytes) -> int | None:
    """A hash (63 bits) of the head of a request's prompt: its first HEAD_BYTES of tools and messages as
    they are sent, with endpoint and model. None where the prompt is shorter, or where the endpoint
    generates no text. Two requests have the same one if and only if their heads are the same bytes."""
    if len(body) < HEAD_BYTES or url not in _prompts:
        return None
    found = _prompts[url](body)
    head = _joined(found, HEAD_BYTES)
    return None if len(head) < HEAD_BYTES else hash_of(url.encode(), bytes(found.model), head)


def prompt_of(url: str, body: bytes, most: int) -> bytes:
    """The first ``most`` bytes of the tools and messages of a request as they are sent, one after the
    other; empty where the endpoint generates no text."""
    return _joined(_prompts[url](body), most) if url in _prompts else b""


def fixed_part_of(url: str, body: bytes) -> int | None:
    """A hash (63 bits) of the tools and the leading system messages of a chat request; None where they
    are shorter than HEAD_BYTES."""
    if len(body) < HEAD_BYTES or url != "/v1/chat/completions":
        return None
    found = _prompts[url](body)
    if bytes(found.messages)[:1] != b"[":
        return None
    messages = _raw_messages(found.messages)
    parts = [bytes(found.tools), bytes(found.functions)]
    parts += map(bytes, messages[: leading_system_messages(messages)])
    if sum(map(len, parts)) < HEAD_BYTES:
        return None
    return hash_of(bytes(found.model), *parts)


def leading_system_messages(messages: list[msgspec.Raw]) -> int:
    """How many messages at the beginning are a system's or developer's."""
    for place, message in enumerate(messages):
        if bytes(_message(message).role) not in _LEADING:
            return place
    return len(messages)


def hash_of(*parts: bytes) -> int:
    """A hash of 63 bits: what the integers of both databases hold."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return int.from_bytes(digest.digest(), "big") & _BITS


def _joined(found: _Prompt, most: int) -> bytes:
    parts = (
        found.tools,
        found.functions,
        found.instructions,
        found.messages,
        found.input,
        found.prompt,
    )
    joined = bytearray()
    for part in parts:
        joined += memoryview(part)[: most - len(joined)]
    return bytes(joined)
