"""The reason of a pause reads as sentences."""

import pytest

from simple_batch.core.domain import Cause
from simple_batch.core.messages import translatable
from simple_batch.engine.breaker import pause_reason
from simple_batch.engine.classify import Classification


@pytest.mark.parametrize("message", ["Bad key", "Bad key."])
def test_a_full_stop_separates_failure_and_remedy(message):
    finding = Classification(
        Cause.AUTH, None, 401, message, remedy=translatable("Check the API key.")
    )
    assert pause_reason(finding).detail == "HTTP 401: Bad key. Check the API key."
