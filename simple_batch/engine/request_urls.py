"""The URL of each call to an endpoint: base URL, path and query parameters.

Azure's dated API is recognised by its base URL and its query parameter ``api-version``, also behind
API Management. A deployment stands in the path of the calls that a model answers, and of these only: it
is that of the base URL, or else is named after the model of the request. Sources: Azure OpenAI's REST
reference (https://learn.microsoft.com/azure/ai-services/openai/reference) and openai-python's
``lib/azure.py``, which does the same.
"""

import re
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

import msgspec

from ..core.domain import Endpoint

_OF_A_DEPLOYMENT = ("/chat/completions", "/completions", "/embeddings")
_DATED = re.compile(r"(?P<root>.*/openai)(?P<deployment>/deployments/[^/]+)?")
API_VERSION = "api-version"


class _WithModel(msgspec.Struct):
    model: str = ""


class RequestUrls:
    """The URLs of one endpoint. Their query parameters may be secret: never log them."""

    def __init__(self, endpoint: Endpoint):
        self._base = urlsplit(endpoint.base_url)
        self._query = urlencode(endpoint.query, quote_via=quote, safe="")
        self._model = endpoint.defaults.model
        self._root, self._deployment = dated_azure(self._base.path, dict(endpoint.query))

    def path_of(self, path: str, body: bytes | None = None) -> str:
        """The path on the base URL's host; ``path`` begins with /v1 or is one below the base URL."""
        # requests name their path with /v1, and so does the base URL
        tail = path[3:] if path.startswith("/v1/") else path
        if self._root is None:
            return self._base.path + tail
        if tail.partition("?")[0] not in _OF_A_DEPLOYMENT:
            return self._root + tail
        return self._root + (self._deployment or self._named_after_model(body)) + tail

    def url_of(self, path: str) -> str:
        """The whole URL for what ``path_of`` returned."""
        path, _, query = path.partition("?")
        query = "&".join(filter(None, (query, self._query)))
        return urlunsplit((self._base.scheme, self._base.netloc, path, query, ""))

    def _named_after_model(self, body: bytes | None) -> str:
        try:
            model = msgspec.json.decode(body or b"{}", type=_WithModel).model
        except (msgspec.DecodeError, UnicodeDecodeError):
            model = ""
        return f"/deployments/{quote(model or self._model, safe='')}"


def dated_azure(path: str, query: dict[str, str]) -> tuple[str | None, str]:
    """The path of Azure's dated API up to /openai, and its part that names a deployment, which may be
    empty; (None, "") for every other base URL."""
    found = _DATED.fullmatch(path)
    if found is None or API_VERSION not in map(str.lower, query):
        return None, ""
    return found["root"], found["deployment"] or ""
