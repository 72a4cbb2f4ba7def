"""Whether the folder of the data can be used, tried before any setting is read: for simple-batch doctor."""

import errno
import tempfile
from pathlib import Path
from typing import NamedTuple

TRIED_BYTES = 64 * 1024  # written into the folder
_ELSEWHERE = "choose another folder with --home PATH or SIMPLE_BATCH_HOME."
_LIMITS = {
    errno.EACCES: f"Make it readable and writable for this user (chown, chmod), or {_ELSEWHERE}",
    errno.EPERM: f"Make it readable and writable for this user (chown, chmod), or {_ELSEWHERE}",
    errno.EROFS: f"Mount it for writing, or {_ELSEWHERE}",
    errno.ENOSPC: f"Free space on this disk, or {_ELSEWHERE}",
    errno.EDQUOT: f"Delete files of this user, whose quota is used up, or {_ELSEWHERE}",
    errno.ENAMETOOLONG: f"This path is too long: {_ELSEWHERE}",
    errno.ELOOP: f"Its links lead in a circle: remove them, or {_ELSEWHERE}",
}


class Fault(NamedTuple):
    what: str
    remedy: str


def fault_of(folder: Path) -> Fault | None:
    """What is wrong with the folder, which is made if it is missing; None if it can be used."""
    try:
        in_the_way = next((one for one in (folder, *folder.parents) if _is_no_folder(one)), None)
        if in_the_way is not None:
            return _blocked(folder, in_the_way)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        next(folder.iterdir(), None)
        with tempfile.TemporaryFile(dir=folder) as tried:
            tried.write(bytes(TRIED_BYTES))
            tried.flush()
    except ValueError:
        return Fault("its path holds a NUL character", f"Leave that out: {_ELSEWHERE}")
    except OSError as error:
        what = f"{_short(folder)}: {error.strerror or error}"
        return Fault(what, _LIMITS.get(error.errno or 0, f"Look at this folder, or {_ELSEWHERE}"))
    return None


def _is_no_folder(path: Path) -> bool:
    return (path.is_symlink() and not path.exists()) or (path.exists() and not path.is_dir())


def _blocked(folder: Path, by: Path) -> Fault:
    if by.is_symlink() and not by.exists():
        what = f"{_short(by)} is a link to {by.readlink()}, which is not there"
        return Fault(what, f"Bring that back, remove the link, or {_ELSEWHERE}")
    kind = "a file" if by.is_file() else "no folder but a device, pipe or socket"
    if by == folder:
        return Fault(f"{_short(by)} is {kind}", f"Move it away, or {_ELSEWHERE}")
    return Fault(f"{_short(folder)} cannot be made: {_short(by)} is {kind}", _capital(_ELSEWHERE))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _short(path: Path) -> str:
    """The path, as far as a line has room for it."""
    text = str(path)
    return text if len(text) <= 200 else f"{text[:120]}…{text[-60:]}"
