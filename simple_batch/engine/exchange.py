"""One call to an endpoint, whatever API it speaks: a request in OpenAI's form goes out, an answer in
OpenAI's form comes back. What differs between endpoints (API format, streams) is done here, so that the
rest of the engine knows one form only."""

from ..core.domain import Endpoint
from ..core.settings import Settings
from .answer_memory import Answers
from .transport import Reply, Transport


class Exchange:
    """Makes calls to one endpoint, over at most ``width`` connections at a time; see Transport for
    ``answers``."""

    def __init__(
        self, endpoint: Endpoint, settings: Settings, width: int, answers: Answers | None = None
    ):
        self._transport = Transport(endpoint, settings, width, answers)

    def post(self, path: str, body: bytes, timeout_s: float) -> Reply:
        """POST a JSON body in OpenAI's form. Raises TransportFailure where no whole answer came in
        time."""
        return self._transport.post(path, body, timeout_s)

    def get(self, path: str, timeout_s: float) -> Reply:
        return self._transport.get(path, timeout_s)

    def close(self) -> None:
        self._transport.close()
