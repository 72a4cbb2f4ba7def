"""One call to an endpoint, whatever API it speaks: a request in OpenAI's form goes out, an answer in
OpenAI's form comes back. What differs between endpoints (API format, streams) is done here, so that the
rest of the engine knows one form only."""

from ..core.domain import ApiFormat, Endpoint
from ..core.settings import Settings
from .answer_memory import Answers
from .anthropic import model_list, translation
from .transport import Reply, Transport


class Exchange:
    """Makes calls to one endpoint, over at most ``width`` connections at a time; see Transport for
    ``answers``."""

    def __init__(
        self, endpoint: Endpoint, settings: Settings, width: int, answers: Answers | None = None
    ):
        self._translates = endpoint.api_format is ApiFormat.ANTHROPIC
        if self._translates:
            endpoint = translation.opened(endpoint)
        self._transport = Transport(endpoint, settings, width, answers)

    def post(self, path: str, body: bytes, timeout_s: float) -> Reply:
        """POST a JSON body in OpenAI's form. Raises TransportFailure where no whole answer came in
        time, or the API has nothing like the request (then no call is made)."""
        if not self._translates:
            return self._transport.post(path, body, timeout_s)
        path, body = translation.request(path, body)
        return translation.answer(self._transport.post(path, body, timeout_s))

    def get(self, path: str, timeout_s: float) -> Reply:
        if not self._translates or path != model_list.PATH:
            return self._transport.get(path, timeout_s)
        found = model_list.all_models(lambda page: self._transport.get(page, timeout_s))
        return translation.answer(found)

    def close(self) -> None:
        self._transport.close()
