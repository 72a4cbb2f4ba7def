"""Asks again for answers in a batch that did not fit the job's schema: what the model said, and what is wrong
with it, stand behind the messages, as in a call (engine/structured_output.py).

Batches outlive the process, so both are taken from the stored attempt, which has the beginning of the answer.
"""

import re
import time

import msgspec

from ..core import schema
from ..core.domain import Cause, Request, Verdict
from ..engine.classify import Classification
from ..engine.structured_output import Structure
from ..store import part_results
from ..store.database import retry_while_unavailable

LOOK_S = 2.0  # between two looks whether there is any such attempt
_TEXT = re.compile(r'"(?:content|text)"\s*:\s*("(?:[^"\\]|\\.)*)')  # of an answer that is cut off


class SchemaCorrections:
    """Of the requests of one job."""

    def __init__(self, job_id: int, structure: Structure):
        self._job_id = job_id
        self._structure = structure
        self._any = False
        self._looked_at = float("-inf")

    def applied(self, request: Request, body: bytes) -> bytes:
        """The body with the correction, where the last answer to the request did not fit."""
        if not self._needed():
            return body
        wrong = retry_while_unavailable(part_results.last_unfit, self._job_id, request.index)
        if wrong is None:
            return body
        message, excerpt = wrong
        finding = Classification(
            Cause.SCHEMA, Verdict.RETRY, message=message, response=_answer_of(excerpt)
        )
        return self._structure.corrected(request.url, body, finding)

    def _needed(self) -> bool:
        if not self._any and time.monotonic() - self._looked_at > LOOK_S:
            self._looked_at = time.monotonic()
            self._any = retry_while_unavailable(part_results.any_unfit, self._job_id)
        return self._any


def _answer_of(excerpt: str) -> bytes:
    """The answer whose beginning this is."""
    whole = excerpt.encode()
    if schema.given(whole).text:
        return whole
    found = _TEXT.search(excerpt)
    try:
        text = msgspec.json.decode(found[1] + '"', type=str) if found is not None else ""
    except msgspec.DecodeError:
        text = ""
    return msgspec.json.encode({"choices": [{"message": {"content": text}}]})
