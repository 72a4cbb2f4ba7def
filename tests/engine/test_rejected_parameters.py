"""What an error rejects of a request's parameters, in the words of the providers."""

import json

import pytest

from simple_batch.engine.classify import classify
from simple_batch.engine.transport import Reply

from .rejections import OTHERS, REJECTIONS

COMBINED = (["temperature", "top_p"], ["max_tokens", "max_completion_tokens"])


def rejected(status: int, body):
    return classify(Reply(status, {}, json.dumps(body).encode())).rejected


@pytest.mark.parametrize("source,status,body,expected", REJECTIONS)
def test_a_rejected_parameter_is_recognised(source, status, body, expected):
    found = rejected(status, body)
    assert found is not None, source
    if isinstance(expected, str):
        assert (found.role, found.names) == (expected.removeprefix("role:"), ())
    else:
        assert found.role is None
        assert [name for name in expected if name not in found.names] == []
        assert found.one_of == (expected in COMBINED)


@pytest.mark.parametrize("source,status,body", OTHERS)
def test_other_errors_reject_no_parameter(source, status, body):
    assert rejected(status, body) is None
