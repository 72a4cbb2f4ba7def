"""Files of formats that are complete only at their end: written beside the uploads, then sent in pieces and
removed, also after a download that breaks off."""

import contextlib
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ..core import context, extras
from ..core.errors import MissingPackage, SimpleBatchError
from ..core.messages import translatable

_PIECE = 1 << 18
_PREFIX = "export-"
_LEFT_BEHIND_S = 86_400  # what is older is of a process that was killed


def spooled(write: Callable[[Path], None]) -> Iterator[bytes]:
    """The pieces of the file that ``write`` writes to the path it is called with, in a temporary folder.
    It is complete before this returns. Raises SimpleBatchError where the disk does not take it."""
    pieces = _pieces(write)
    next(pieces)
    return pieces


def run_in_thread(function: Callable, *args):
    """Call a function that computes long: in a thread, where the process runs greenlets."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None or not monkey.is_module_patched("socket"):
        return function(*args)
    from gevent import get_hub

    return get_hub().threadpool.apply(function, args)


def import_lazily(module: str):
    """A library that only some formats need. Raises MissingPackage where it is not installed."""
    try:
        return extras.load(module)
    except MissingPackage as error:
        raise MissingPackage(translatable("%(problem)s. Or use CSV.", problem=error.text)) from None


def _pieces(write: Callable[[Path], None]) -> Iterator[bytes]:
    home = context.settings().uploads
    try:
        home.mkdir(parents=True, exist_ok=True)
        _tidy(home)
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=home))
    except OSError as error:
        raise _unwritten(error) from error
    try:
        path = folder / "file"
        try:
            write(path)
        except OSError as error:
            raise _unwritten(error) from error
        yield b""
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                yield piece
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _tidy(home: Path) -> None:
    for folder in home.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > _LEFT_BEHIND_S:
                shutil.rmtree(folder, ignore_errors=True)


def _unwritten(error: OSError) -> SimpleBatchError:
    return SimpleBatchError(
        translatable("The export cannot be written: %(why)s.", why=error.strerror or error)
    )
