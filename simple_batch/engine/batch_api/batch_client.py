"""What a provider's batch API is to the rest of the program. A part of a job is one batch at the provider.

Every method makes calls and may raise ``BatchCallFailed`` (the provider refused) or
``transport.TransportFailure`` (no whole answer came: the call may have had its effect). Requests and
answers are in OpenAI's form on our side; a client translates where its API has another.
"""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import msgspec

from ..classify import Classification
from ..transport import Reply

MARKER_KEY = "simple_batch_part"  # in a batch's metadata, with the marker of its part


class RemoteState(StrEnum):
    """The state of a batch at its provider, whatever the provider calls it."""

    VALIDATING = "validating"
    RUNNING = "running"  # waiting for its turn included
    CANCELLING = "cancelling"
    COMPLETED = "completed"  # ended; lines may have failed
    FAILED = "failed"  # ended: refused as a whole
    EXPIRED = "expired"  # ended; what was finished can be read
    CANCELLED = "cancelled"  # ended; what was finished can be read
    UNKNOWN = "unknown"  # a word that we do not know: it is shown, and the batch asked about again

    @property
    def ended(self) -> bool:
        return self in _ENDED


_ENDED = frozenset(
    {RemoteState.COMPLETED, RemoteState.FAILED, RemoteState.EXPIRED, RemoteState.CANCELLED}
)


class BatchError(msgspec.Struct, frozen=True):
    """Why a provider refuses a batch. ``line`` counts the lines of the input from 1; None: it is about
    the whole batch. ``enqueued``: the limit of enqueued tokens or batches is reached, which passes."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None
    enqueued: bool = False


class RemoteBatch(msgspec.Struct, frozen=True):
    """A batch as its provider reports it. ``status`` is the provider's own word. Counts are None where
    the provider does not report them (yet). ``results`` name what can be read once it has ended, in
    the client's own terms (file ids, URLs); ``input_file`` is the uploaded file, where there is one.
    ``certain`` is False where ``find`` gives a batch that may be the part's or not: that shows once it
    has ended, and until then none may be created. ``created_again_at``: the call that created it followed one
    that may have created another, of which no list said anything yet; not set by clients. Times are epoch ms."""

    id: str
    state: RemoteState
    status: str
    total: int | None = None
    succeeded: int | None = None
    failed: int | None = None
    results: tuple[str, ...] = ()
    input_file: str | None = None
    marker: str | None = None
    created_at: int | None = None
    expires_at: int | None = None
    errors: tuple[BatchError, ...] = ()
    certain: bool = True
    created_again_at: int | None = None


class BatchLimits(msgspec.Struct, frozen=True):
    """Limits of one batch; None: the provider states none. ``inputs`` are inputs of embeddings in all;
    ``urls`` are the endpoints that a batch may have, in OpenAI's form (empty: any)."""

    requests: int | None = None
    bytes: int | None = None
    tokens: int | None = None
    inputs: int | None = None
    line_bytes: int | None = None
    urls: tuple[str, ...] = ()


class PartInput(msgspec.Struct, frozen=True):
    """What a part sends. ``path`` holds the lines that ``BatchClient.line`` made, one a row; ``marker``
    is unique and stays the same when a part is sent again after a crash (``[a-z0-9-]``, ≤ 40
    characters). ``since`` (epoch ms) is when it was first sent: what is older at the provider is not
    looked at; None: all is. ``within_h``: hours until the job's deadline; None: it has none."""

    marker: str
    url: str  # endpoint of all requests, in OpenAI's form
    model: str
    path: Path
    requests: int
    since: int | None = None
    within_h: float | None = None


class LineResult(msgspec.Struct, frozen=True):
    """One line of the results. ``line_id`` is the one that was sent; ``reply`` the answer or the
    error in OpenAI's form, None where the line was never sent (``code`` says why: expired,
    cancelled, or the provider's own word)."""

    line_id: str
    reply: Reply | None
    code: str = ""
    message: str = ""


class BatchCallFailed(Exception):
    """The provider refused a call. ``finding`` is what its answer means (classify.py); ``enqueued``: the
    limit of enqueued tokens or batches is reached; ``gone``: what was asked for does not exist (any
    more)."""

    def __init__(self, finding: Classification, enqueued: bool = False, gone: bool = False):
        super().__init__(finding.message)
        self.finding = finding
        self.enqueued = enqueued
        self.gone = gone


class ResultsCutOff(Exception):
    """A file of results ends in the middle of a line, or is shorter than announced: read it again.
    ``paths`` are the files as far as they are there: if it stays so, what is whole in them is read."""

    def __init__(self, message: str = "", paths: tuple[Path, ...] = ()):
        super().__init__(message)
        self.paths = paths


class BatchClient(Protocol):
    """Speaks one provider's batch API for one config. ``counts_at_end``: its counters move only when a
    batch ends. ``inline``: requests go with the call that creates the batch, no file is uploaded.
    ``cancels``: the provider can end a batch before its time."""

    limits: BatchLimits
    counts_at_end: bool
    inline: bool
    cancels: bool

    def line(self, line_id: str, url: str, body: bytes) -> bytes:
        """One line of the input, without a line break. ``line_id`` matches ``[A-Za-z0-9_-]{1,64}``.
        Raises TransportFailure where the API has nothing like the request (as translation.request)."""
        ...

    def upload(self, part: PartInput) -> str | None:
        """Upload the input, under a file name that holds the marker; returns its id. None: inline."""
        ...

    def find_upload(self, part: PartInput) -> str | None:
        """The id of a whole file that was uploaded for the part before; None where there is none, or
        only part of one (which is deleted)."""
        ...

    def create(self, part: PartInput, file_id: str | None) -> RemoteBatch:
        """Create the batch, marked with the part's marker. Never tried again by itself."""
        ...

    def find(self, part: PartInput, file_id: str | None) -> list[RemoteBatch]:
        """All batches of the provider that were created for the part, the oldest first: by the marker,
        or by the uploaded file; those of which it is not known yet included (``certain``)."""
        ...

    def retrieve(self, batch_id: str) -> RemoteBatch:
        """How it stands now."""
        ...

    def cancel(self, batch_id: str) -> None:
        """Ask for an end, where the provider can be asked. A batch that has ended already is no error."""
        ...

    def download(self, batch: RemoteBatch, folder: Path) -> list[Path]:
        """Write the results to files in the folder, streamed, each whole: raises ResultsCutOff where one
        is not. An empty or missing id of a file is no file. ``BatchCallFailed.gone``: none of the files
        exists any more; where one of several does not, the others are read."""
        ...

    def read(self, path: Path) -> Iterable[LineResult] | Iterator[LineResult]:
        """The lines of a file that ``download`` wrote, in its order. A line that is no result has the
        id "" and says so in ``message``."""
        ...

    def delete(self, batch: RemoteBatch) -> None:
        """Remove the files of a batch at the provider, as far as it lets us; never raises for what is
        gone already."""
        ...

    def close(self) -> None: ...
