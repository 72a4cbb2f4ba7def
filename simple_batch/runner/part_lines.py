"""Requests as lines of the input of a part."""

import re
from collections.abc import Callable
from pathlib import Path

import msgspec

from ..core.domain import EMBEDDINGS, Cause, Request
from ..core.stored_messages import (
    LINE_TOO_LARGE,
    NO_BATCH_URL,
    TOO_MANY_INPUTS,
    UNREADABLE_IMAGE,
)
from ..engine.batch_api.batch_client import BatchClient
from ..engine.transport import TransportFailure
from ..store import images
from .body_encoder import BodyEncoder
from .schema_corrections import SchemaCorrections

_BYTES_PER_TOKEN = 4  # of ASCII text, roughly
_OTHER_BYTES_PER_TOKEN = 2.5  # of other text: three bytes of UTF-8 are about a Chinese character
_LINE_ID = re.compile(r"[rR](0|[1-9][0-9]{0,9})")


class _Inputs(msgspec.Struct):
    input: list[msgspec.Raw] | msgspec.Raw = msgspec.Raw()


_inputs_of = msgspec.json.Decoder(_Inputs).decode


class Line(msgspec.Struct, frozen=True, gc=False):
    """A request as it stands in the input, without a line break. ``size`` is that in the file, with one;
    ``tokens`` are estimated; ``inputs`` are those of embeddings."""

    index: int
    url: str
    model: str
    data: bytes
    size: int
    tokens: int
    inputs: int


class Unfit(Exception):
    """A request that the batch API cannot take."""

    def __init__(self, cause: Cause, message: str):
        super().__init__(message)
        self.cause = cause
        self.message = message


def line_id(index: int) -> str:
    """The id of a request on the wire."""
    return f"r{index}"


def index_of(line_id: str) -> int | None:
    """The index of the request that a line of the results is about; None: no request has that id."""
    found = _LINE_ID.fullmatch(line_id)
    return int(found[1]) if found else None


class LineMaker:
    """Makes the lines of a job's requests for one provider. ``images_in`` is the folder of the images
    that they name."""

    def __init__(
        self,
        bodies: BodyEncoder,
        client: BatchClient,
        images_in: Path | None = None,
        corrections: SchemaCorrections | None = None,
    ):
        self.bodies = bodies
        self.client = client
        self._images_in = images_in
        self._corrections = corrections
        limits = client.limits
        self._urls = frozenset(limits.urls)
        self._most_inputs = limits.inputs
        sizes = [size for size in (limits.line_bytes, limits.bytes) if size is not None]
        self._most_bytes = min(sizes, default=None)

    def make(self, request: Request) -> Line:
        """Raises Unfit where the batch API cannot take it."""
        url, urls = request.url, self._urls
        if urls and url not in urls:
            named = ", ".join(self.client.limits.urls)
            raise Unfit(Cause.BAD_REQUEST, NO_BATCH_URL(url=url, urls=named))
        body, model = self.bodies.encode_for_batch(request)
        if self._corrections is not None:
            body = self._corrections.applied(request, body)
        tokens = estimated_tokens(body)
        inputs = self._inputs(body) if url == EMBEDDINGS else 0
        try:
            if self._images_in is not None:
                body = images.filled(body, self._images_in)
            data = self.client.line(line_id(request.index), url, body)
        except TransportFailure as failure:
            raise Unfit(failure.cause, failure.message) from failure
        except OSError as error:
            name = Path(error.filename or "").name
            message = UNREADABLE_IMAGE(error=error.strerror, file=name)
            raise Unfit(Cause.INTERNAL, message) from error
        size, most = len(data) + 1, self._most_bytes
        if most is not None and size > most:
            raise Unfit(Cause.TOO_LARGE, LINE_TOO_LARGE(size=f"{size:,}", limit=f"{most:,}"))
        return Line(request.index, url, model, data, size, tokens, inputs)

    def _inputs(self, body: bytes) -> int:
        """Of a request for embeddings."""
        inputs, most = _embedded(body), self._most_inputs
        if most is not None and inputs > most:
            raise Unfit(Cause.TOO_LARGE, TOO_MANY_INPUTS(count=f"{inputs:,}", limit=f"{most:,}"))
        return inputs


def estimated_tokens(body: bytes) -> int:
    """Tokens of a request, roughly: a provider's refusal corrects it."""
    if body.isascii():
        return len(body) // _BYTES_PER_TOKEN + 1
    plain = len(body.decode("ascii", "ignore"))
    return round(plain / _BYTES_PER_TOKEN + (len(body) - plain) / _OTHER_BYTES_PER_TOKEN) + 1


def _embedded(body: bytes) -> int:
    try:
        found = _inputs_of(body).input
    except msgspec.ValidationError:
        return 1
    # a list of numbers is one input, as tokens
    texts = isinstance(found, list) and any(bytes(one)[:1] in b'"[{' for one in found[:1])
    return len(found) if isinstance(found, list) and texts else 1


MakerOf = Callable[[int], LineMaker]  # by the id of a config; may raise ConfigurationError
