"""Removes an endpoint's key and other secrets from what it answers.

Some providers quote the key in their complaint, and an endpoint that echoes may quote it in an answer.
"""

from ..core.domain import Endpoint
from ..core.redaction import SHORTEST, Secret, parts_of

_SURELY_A_SECRET = 20  # characters


class EchoedSecrets:
    """The secrets of one endpoint: its key, secret headers and secret query parameters."""

    def __init__(self, endpoint: Endpoint):
        given = (endpoint.key, *endpoint.secrets)
        parts = dict.fromkeys(part for secret in given for part in parts_of(secret))
        # what is an answer is altered for nothing less than a real key: “lm-studio” is a word too
        self._secrets = [
            (Secret(part), len(part) >= _SURELY_A_SECRET) for part in parts if len(part) >= SHORTEST
        ]

    def masked(self, status: int, body: bytes) -> bytes:
        """The body with a mask in place of every secret; the same object where it holds none."""
        good = status < 300
        for secret, surely in self._secrets:
            if surely or not good:
                # a good answer is long, and looked at once
                body = secret.masked_body(body, coded=not good)
        return body
