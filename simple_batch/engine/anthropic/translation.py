"""What engine/exchange.py asks of this package: the endpoint's address and headers, a request, an answer."""

import msgspec

from ...core.domain import Cause, Endpoint, Verdict
from ...core.stored_messages import NEEDS_MESSAGES_API, NO_JSON, NOT_TRANSLATED, OTHER_ENDPOINT
from ..transport import Reply, TransportFailure
from .answer_body import chat_completion
from .no_counterpart import NoCounterpart
from .request_body import message_body

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
ANSWERED = frozenset({CHAT, MESSAGES})  # by an endpoint of this API
VERSION = "2023-06-01"  # the last that has temperature, top_p and top_k
_VERSION_HEADER = "anthropic-version"


def opened(endpoint: Endpoint) -> Endpoint:
    """The endpoint as its calls need it: the base URL ends in /v1, and a version is named
    (https://platform.claude.com/docs/en/api/versioning)."""
    base = endpoint.base_url.rstrip("/")
    headers = endpoint.headers
    if not any(name.lower() == _VERSION_HEADER for name, _value in headers):
        headers = (*headers, (_VERSION_HEADER, VERSION))
    base = base if base.endswith("/v1") else f"{base}/v1"
    return msgspec.structs.replace(endpoint, base_url=base, headers=headers)


def request(path: str, body: bytes) -> tuple[str, bytes]:
    """(path, body) of a call. A body for /v1/messages is in the API's own form already. Raises
    TransportFailure, and no call is made, for what the API does not have."""
    if path == MESSAGES:
        return path, body
    if path != CHAT:
        raise TransportFailure(Cause.BAD_REQUEST, OTHER_ENDPOINT(url=path), Verdict.FINAL)
    try:
        return MESSAGES, message_body(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as fault:
        why = NOT_TRANSLATED(field="body", why=NO_JSON(error=fault))
        raise TransportFailure(Cause.BAD_REQUEST, why, Verdict.FINAL) from None
    except NoCounterpart as missing:
        raise TransportFailure(
            Cause.BAD_REQUEST, missing.message, Verdict.FINAL, parameter=missing.parameter
        ) from None


def check_other(path: str) -> None:
    """Raises TransportFailure for a call of the Messages API at an endpoint of another API, whose answer
    could not be read."""
    if path == MESSAGES:
        why = NEEDS_MESSAGES_API(url=path)
        raise TransportFailure(Cause.BAD_REQUEST, why, Verdict.FINAL)


def answer(reply: Reply) -> Reply:
    """The reply with its body in OpenAI's form."""
    return msgspec.structs.replace(reply, body=chat_completion(reply.body))
