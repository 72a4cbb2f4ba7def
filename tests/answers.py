"""An endpoint whose answers are worth different things, by the number of the question."""

import json

from . import endpoint as e
from .endpoint import MisbehavingEndpoint

CALL = {"id": "c", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
NEEDED = 40  # tokens of an answer that is not cut off


class MixedEndpoint(MisbehavingEndpoint):
    """Question 1 gets a good answer, 2 one that is cut off below NEEDED tokens, 3 a refusal, 4 an empty
    answer, 5 a tool call, 6 an answer after reasoning; then again from 1."""

    def __init__(self) -> None:
        super().__init__(e.ok())

    def _next(self, head: str, body: bytes) -> bytes:
        super()._next(head, body)
        sent = json.loads(body)
        number = int(sent["messages"][0]["content"].split()[1])
        answers = (
            lambda: e.says("fine", finish_reason="stop"),
            lambda: self._long(sent),
            lambda: e.says(None, finish_reason="stop", message={"refusal": "I can't."}),
            lambda: e.says("", finish_reason="stop"),
            lambda: e.says(None, finish_reason="tool_calls", message={"tool_calls": [CALL]}),
            lambda: e.says("<think>Hm.</think>\n\nfine", finish_reason="stop"),
        )
        return answers[(number - 1) % 6]()

    @staticmethod
    def _long(sent: dict) -> bytes:
        limit = sent.get("max_completion_tokens") or sent.get("max_tokens") or 0
        if limit < NEEDED:
            return e.says("It begins", finish_reason="length")
        return e.says("It ends.", finish_reason="stop")
