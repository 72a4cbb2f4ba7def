"""What cannot be sent to Gemini's own API."""

from ...core.domain import Cause, Verdict
from ...core.messages import Message
from ...core.stored_messages import GEMINI_LACKS, GEMINI_TAKES_NOT
from ..transport import TransportFailure


def lacks(name: str) -> TransportFailure:
    """For a field, or a value of it, that the API does not have."""
    return TransportFailure(Cause.BAD_REQUEST, GEMINI_LACKS(field=name), Verdict.FINAL)


def invalid(name: str, why: Message) -> TransportFailure:
    """For a field that cannot be translated as it is."""
    return TransportFailure(Cause.BAD_REQUEST, GEMINI_TAKES_NOT(field=name, why=why), Verdict.FINAL)
