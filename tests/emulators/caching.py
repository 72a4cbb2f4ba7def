"""A chat endpoint with a prompt cache as OpenAI documents its own; as a process it prints its port:

    python -m tests.emulators.caching [--latency S] [--machines N]

Documented (https://developers.openai.com/api/docs/guides/prompt-caching, read 2026-11-28, and for the first
four points the edition for models before GPT-5.6, https://platform.openai.com/docs/guides/prompt-caching):
- a request is routed to a machine by a hash of its first 256 tokens and its ``prompt_cache_key``;
- above about 15 requests a minute for one prefix and key, requests overflow to other machines;
- prompts of 1,024 tokens and more are cached, in steps of 128 tokens, for an exact prefix;
- an entry lasts 5 to 10 minutes without a use;
- ``cached_tokens`` is 0 for shorter prompts; caching changes neither rate limits nor answers.

Assumed, because OpenAI does not say it: an entry exists once its call has ended (Qwen's documentation says so:
"建议在创建请求完成后再尝试命中该缓存", https://help.aliyun.com/model-studio/context-cache); a request that
overflows goes to any machine; there are 1,000 machines; a lifetime is drawn evenly from 5 to 10 minutes;
a token is 4 characters of the rendered prompt, tools before messages.
"""

import argparse
import hashlib
import json
import random
import time
from collections import deque
from collections.abc import Callable

import gevent

from ..endpoint import MisbehavingEndpoint, http

TOKEN = 4  # characters
LEAST, STEP = 1_024, 128  # tokens
ROUTED_BY = 256
CALLS_A_MINUTE = 15
LIFETIME_S = (300.0, 600.0)


class PromptCache:
    """The caches of all machines. ``clock`` is in seconds."""

    def __init__(self, machines: int = 1_000, clock: Callable[[], float] = time.monotonic):
        self._machines = machines
        self._clock = clock
        self._random = random.Random(7)
        self._ends: dict[tuple[int, bytes], float] = {}  # by machine and prefix
        self._calls: dict[tuple[bytes, str], deque] = {}
        self.overflowed = 0

    def route(self, prompt: str, key: str) -> int:
        """The machine that a request goes to."""
        head = prompt[: ROUTED_BY * TOKEN].encode()
        calls, now = self._calls.setdefault((head, key), deque()), self._clock()
        while calls and calls[0] <= now - 60:
            calls.popleft()
        calls.append(now)
        if len(calls) > CALLS_A_MINUTE:
            self.overflowed += 1
            return self._random.randrange(self._machines)
        digest = hashlib.sha256(head + b"\0" + key.encode()).digest()
        return int.from_bytes(digest[:8], "big") % self._machines

    def cached(self, machine: int, prompt: str) -> int:
        """Tokens of a prompt that the machine reads from its cache now."""
        now = self._clock()
        for tokens, prefix in reversed(_prefixes(prompt)):
            if self._ends.get((machine, prefix), 0.0) > now:
                self._keep(machine, prefix)
                return tokens
        return 0

    def store(self, machine: int, prompt: str) -> None:
        """The call has ended: its prompt is in the cache."""
        for _tokens, prefix in _prefixes(prompt):
            self._keep(machine, prefix)

    def _keep(self, machine: int, prefix: bytes) -> None:
        self._ends[machine, prefix] = self._clock() + self._random.uniform(*LIFETIME_S)


class CachingEndpoint(MisbehavingEndpoint):
    """``usage`` sums up what its answers reported. ``answers(number, body)`` may return another behaviour
    for a call (counted from 1). ``keys`` are those of all calls, '' without one."""

    def __init__(self, latency_s=lambda: 0.02, answers=lambda number, body: None, machines=1_000):
        super().__init__(b"")
        self.cache = PromptCache(machines)
        self.usage = {"calls": 0, "input": 0, "cached": 0}
        self.keys: list[str] = []
        self.caches: list[int] = []  # cached tokens of each answer, as they ended
        self._latency_s = latency_s
        self._answers = answers

    @property
    def share(self) -> float:
        """Of the input tokens, how many were cached."""
        return self.usage["cached"] / max(1, self.usage["input"])

    def _next(self, head: str, body: bytes):
        if head.startswith("GET /v1/stats"):
            return http(200, {**self.usage, "overflowed": self.cache.overflowed})
        super()._next(head, body)
        asked = self.bodies.pop()  # a benchmark sends more than fits
        self.heads.pop()
        self.keys.append(asked.get("prompt_cache_key", ""))
        return self._answers(self.calls, asked) or (
            lambda connection: self._answer(connection, asked)
        )

    def _answer(self, connection, asked: dict) -> None:
        prompt = rendered(asked)
        machine = self.cache.route(prompt, asked.get("prompt_cache_key", ""))
        cached = self.cache.cached(machine, prompt)
        gevent.sleep(self._latency_s())
        self.cache.store(machine, prompt)
        tokens = -(-len(prompt) // TOKEN)
        self.usage["calls"] += 1
        self.usage["input"] += tokens
        self.usage["cached"] += cached
        self.caches.append(cached)
        connection.sendall(http(200, _completion(tokens, cached)))


def rendered(asked: dict) -> str:
    """The prompt of a chat request: tools, then messages."""
    parts = [json.dumps(asked["tools"])] if "tools" in asked else []
    for message in asked["messages"]:
        content = message["content"]
        if isinstance(content, list):
            content = "".join(part.get("text", "") for part in content)
        parts.append(f"<{message['role']}>{content}")
    return "".join(parts)


def _prefixes(prompt: str) -> list[tuple[int, bytes]]:
    """(tokens, hash) of each part of a prompt that an entry may hold."""
    found, digest, whole = [], hashlib.sha256(), len(prompt) // TOKEN
    for tokens in range(STEP, whole + 1, STEP):
        digest.update(prompt[(tokens - STEP) * TOKEN : tokens * TOKEN].encode())
        if tokens >= LEAST:
            found.append((tokens, digest.digest()))
    return found


def _completion(tokens: int, cached: int) -> dict:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": "m-1",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "fine"},
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": tokens,
            "completion_tokens": 3,
            "total_tokens": tokens + 3,
            "prompt_tokens_details": {"cached_tokens": cached},
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--latency", type=float, default=1.0, help="seconds in the mean")
    parser.add_argument("--machines", type=int, default=1_000)
    options = parser.parse_args()
    draw = random.Random(11)
    latency = options.latency
    with CachingEndpoint(
        lambda: draw.uniform(0.5 * latency, 1.5 * latency), machines=options.machines
    ) as endpoint:
        print(endpoint.base_url.split(":")[2].split("/")[0], flush=True)
        gevent.get_hub().join()


if __name__ == "__main__":
    from gevent import monkey

    monkey.patch_all()
    main()
