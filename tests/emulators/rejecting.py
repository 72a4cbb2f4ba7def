"""An endpoint whose models reject parameters, as providers do it.

Each model says which parameters it knows and in which words it rejects the others; the wordings and their
sources are those of tests/engine/rejections.py.
"""

import json
from collections.abc import Callable

from ..endpoint import MisbehavingEndpoint, embeddings, http, ok

COMMON = {"model", "messages", "input", "prompt"}


def openai_style(name: str) -> tuple[int, dict]:
    """As OpenAI rejects a parameter (developers' forum, YPrompt #26)."""
    instead = " Use 'max_completion_tokens' instead." if name == "max_tokens" else ""
    return 400, {
        "error": {
            "message": f"Unsupported parameter: '{name}' is not supported with this model.{instead}",
            "type": "invalid_request_error",
            "param": name,
            "code": "unsupported_parameter",
        }
    }


def mistral_style(name: str) -> tuple[int, dict]:
    """As FastAPI does with pydantic (client-ts #65)."""
    fault = {
        "type": "extra_forbidden",
        "loc": ["body", name],
        "msg": "Extra inputs are not permitted",
        "input": 1,
    }
    return 422, {"detail": [fault]}


def gemini_style(name: str) -> tuple[int, list]:
    """As Google does (page-assist #418)."""
    message = f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.'
    return 400, [{"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}}]


def xai_style(name: str) -> tuple[int, dict]:
    """As xAI does, in camel case (n8n #14581)."""
    first, *rest = name.split("_")
    camel = first + "".join(part.capitalize() for part in rest)
    return 400, {
        "code": "Client specified an invalid argument",
        "error": f"Argument not supported on this model: {camel}",
    }


def anthropic_style(name: str) -> tuple[int, dict]:
    """As Anthropic does (inspect_ai #3721)."""
    message = f"{name}: Extra inputs are not permitted"
    return 400, {"type": "error", "error": {"type": "invalid_request_error", "message": message}}


class RejectingEndpoint(MisbehavingEndpoint):
    """Rejects each parameter that ``known`` does not name. ``roles`` are those it takes; ``behave`` may
    return another answer for a body."""

    def __init__(
        self,
        known: set[str],
        style: Callable[[str], tuple[int, object]] = openai_style,
        roles: tuple[str, ...] = ("system", "developer", "user", "assistant"),
        behave: Callable[[dict], bytes | None] = lambda body: None,
    ):
        super().__init__(b"")
        self.known = known
        self.known_of: dict[str, set[str]] = {}  # by model, where it differs
        self._style = style
        self._roles = roles
        self._behave = behave
        self.refused: list[str] = []
        self.accepted: list[dict] = []

    def _next(self, head: str, body: bytes):
        super()._next(head, body)
        sent = self.bodies[-1]
        known = self.known_of.get(sent.get("model", ""), self.known)
        for name in sent:
            if name not in known | COMMON:
                self.refused.append(name)
                return http(*self._style(name))
        for place, message in enumerate(sent.get("messages", [])):
            if message["role"] not in self._roles:
                self.refused.append("role")
                return http(400, _role(place, message["role"]))
        answer = self._behave(sent)
        if answer is None:
            self.accepted.append(sent)
            answer = http(200, embeddings(sent["input"])) if "input" in sent else ok()
            if head.startswith("POST /v1/responses"):
                answer = http(200, RESPONSE)
        return answer


def _role(place: int, role: str) -> dict:
    return {
        "error": {
            "message": f"Unsupported value: 'messages[{place}].role' does not support '{role}' with this "
            "model.",
            "type": "invalid_request_error",
            "param": f"messages[{place}].role",
            "code": "unsupported_value",
        }
    }


RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "model": "m-1",
    "output": [
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "fine", "annotations": []}],
        }
    ],
    "usage": {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10},
}


def lines(bodies: list[dict], url: str = "/v1/chat/completions") -> str:
    """A file of batch requests."""
    return "".join(
        json.dumps({"custom_id": f"r{n}", "method": "POST", "url": url, "body": body}) + "\n"
        for n, body in enumerate(bodies)
    )
