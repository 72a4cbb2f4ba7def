"""The headers that every call to an endpoint has."""

from ..core.domain import Auth, Endpoint
from ..core.version import __version__


def headers_of(endpoint: Endpoint) -> dict[str, str]:
    """The values by name. Those of the config replace the program's own of the same name, in whatever
    case. They may be secret: never log them."""
    own = {
        "User-Agent": f"simple-batch/{__version__}",
        "Accept": "application/json",
        "Accept-Encoding": "gzip, deflate",
        "Content-Type": "application/json",
        **_key_header(endpoint.auth, endpoint.key),
    }
    replaced = {name.lower() for name, _value in endpoint.headers}
    kept = {name: value for name, value in own.items() if name.lower() not in replaced}
    return {**kept, **dict(endpoint.headers)}


def _key_header(auth: Auth, key: str) -> dict[str, str]:
    match auth:
        case _ if not key:
            return {}
        case Auth.BEARER:
            return {"Authorization": f"Bearer {key}"}
        case Auth.API_KEY:
            return {"api-key": key}
        case Auth.X_API_KEY:
            return {"x-api-key": key}
        case Auth.NONE:
            return {}
