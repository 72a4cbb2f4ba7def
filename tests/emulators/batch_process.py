"""An emulator of a batch API in a separate process, which outlives the program under test.

``python -m tests.emulators.batch_process gemini [--port N] [--polls N]`` prints its URL on the first line and
ends with its standard input. ``RemoteProvider`` starts it and speaks with it.
"""

import argparse
import importlib
import json
import subprocess
import sys
from typing import Any
from urllib.request import Request, urlopen

from ..fork_server import ROOT

# name: (module beside this one, class)
PROVIDERS = {
    "anthropic": ("anthropic_batches", "AnthropicBatches"),
    "gemini": ("gemini_batches", "GeminiBatches"),
    "mistral": ("mistral_batches", "MistralBatches"),
    "openai": ("openai_batches", "OpenAIBatches"),
    "openrouter": ("openrouter_batches", "OpenRouterBatches"),
}


class RemoteProvider:
    """A running process with an emulator; ``url`` is where the program under test calls it."""

    def __init__(self, name: str, port: int = 0, polls: int = 2):
        command = [sys.executable, "-m", __name__, name, "--port", str(port), "--polls", str(polls)]
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        assert self.url, f"the emulator of {name} did not start"

    def __enter__(self) -> "RemoteProvider":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()

    def counts(self) -> dict[str, Any]:
        return self._tell("counts", None)

    def arm(self, name: str, times: int = 1) -> None:
        self._tell("arm", {"name": name, "times": times})

    def clear(self) -> None:
        self._tell("clear", {})

    def advance(self, seconds: float) -> None:
        self._tell("advance", {"seconds": seconds})

    def finish(self, *ids: str) -> None:
        self._tell("finish", {"ids": ids})

    def set(self, **values: Any) -> None:
        """Set polls_to_finish, share_done or enqueued_lines_limit."""
        self._tell("set", values)

    def _tell(self, what: str, said: dict | None) -> dict[str, Any]:
        data = None if said is None else json.dumps(said).encode()
        with urlopen(Request(f"{self.url}/_emulator/{what}", data=data), timeout=60) as answer:
            return json.load(answer)


def main() -> None:
    import gevent

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("provider", choices=PROVIDERS)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument(
        "--polls", type=int, default=2, help="polls until a batch ends; 0: when told"
    )
    given = parser.parse_args()
    module, name = PROVIDERS[given.provider]
    made = getattr(importlib.import_module(f"{__package__}.{module}"), name)
    with made(port=given.port, polls_to_finish=given.polls or None) as provider:
        print(provider.url, flush=True)
        gevent.get_hub().threadpool.apply(sys.stdin.read)


if __name__ == "__main__":
    main()
